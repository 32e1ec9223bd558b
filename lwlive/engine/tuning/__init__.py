"""Tuning: which kind, batch and package serve a checkpoint best on this machine, measured once."""
