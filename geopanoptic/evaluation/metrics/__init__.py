"""Figures of a comparison, from counts of shared pixels."""
