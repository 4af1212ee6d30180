"""Attacks over HTTP and websockets, each named after what it tries; ``make attack`` runs them and those of e2e."""
