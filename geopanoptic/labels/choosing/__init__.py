"""What to label next: the uncertain and the different first."""
