"""OSC: a packet in is checked, read by its address, and gives a command; status goes back."""
