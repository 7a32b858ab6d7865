"""The whole method on the packaged sample set, with a page about it: `mv2mae demo`."""
