"""`torch-autograd` and `torch-compile`, and the same objective as a torch function, `nll`."""
