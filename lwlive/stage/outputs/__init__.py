"""Outputs: what takes the pictures of a show. Each is given one a tick, and waits for nothing."""
