"""Adapters: changes of a checkpoint's weights and words of its own, from files."""
