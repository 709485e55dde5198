"""Who changed what: the history that labels carry with them, and the difference between two states of them."""
