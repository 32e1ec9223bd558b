"""The engine: every torch call. Imports neither the stage nor pygame."""
