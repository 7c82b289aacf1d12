"""`jax`: what a JAX user writes, compiled by XLA."""
