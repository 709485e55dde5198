"""What to label next: the likely wrong and the different first."""
