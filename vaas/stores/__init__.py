"""Places that hold files: the port in base, one module a kind."""
