"""Pixels of the scene's grid: several files' bands laid on it, read with validity, and averaged."""
