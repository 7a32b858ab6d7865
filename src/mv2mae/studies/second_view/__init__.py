"""What a second view is worth to a trained model, by angle: `mv2mae second-view`."""
