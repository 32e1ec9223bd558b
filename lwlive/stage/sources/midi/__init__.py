"""MIDI."""
