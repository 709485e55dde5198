"""Continuing a run: what makes two runs the same, the manifest they agree by, work folders and shards."""
