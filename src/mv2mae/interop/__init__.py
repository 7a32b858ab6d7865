"""Models of other software in and out: names of tensors, files, folders and the hub."""
