"""Looks by name, one .toml each; installed as lwlive.presets, so that the program finds them."""
