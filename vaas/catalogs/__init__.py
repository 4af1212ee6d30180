"""Where things can be found: the portal's own index, and catalogs elsewhere."""
