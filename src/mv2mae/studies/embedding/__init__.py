"""Maps of clips: `mv2mae visualize --pictures embedding`."""
