"""One module per format, each with a ``FORMAT``; they know nothing of one another."""
