"""`fused-cpu`: NLL and gradient in one pass over X on all cores, by Numba."""
