"""Compiled: a checkpoint's networks compiled ahead of time, by a child, verified and called."""
