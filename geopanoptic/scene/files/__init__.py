"""Files, addresses and arrays: which may be opened, and how the numbers in them are read, window by window."""
