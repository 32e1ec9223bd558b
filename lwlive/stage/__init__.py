"""The stage: window, clock, controls and recording. Imports no torch, not even through others."""
