"""Where app servers run: the port in base, one module a kind."""
