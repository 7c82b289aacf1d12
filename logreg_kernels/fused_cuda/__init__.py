"""`fused-cuda`: NLL and gradient in one pass over X on a CUDA device, by Triton."""
