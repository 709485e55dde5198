"""How fast and how large runs are, beside the bare network on the same tiles."""
