"""`bench roofline`: how far each kernel is from reading X once."""
