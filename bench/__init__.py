"""Measurements, one command each: how long, how much and how often, against the peers and in the same run."""
