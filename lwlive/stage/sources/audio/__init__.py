"""Sound coming in: captured, turned into bands and a tempo."""
