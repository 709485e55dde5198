"""Centres and the watershed that grows from them, exact over any blocks."""
