"""The window: pictures on a monitor, words over them, and the keys that are pressed in it."""
