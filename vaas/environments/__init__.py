"""Environments that are made for a notebook of what it says that it needs."""
