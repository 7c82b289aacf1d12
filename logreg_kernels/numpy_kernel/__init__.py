"""`numpy`: the reference, every formula in its numerically exact form."""
