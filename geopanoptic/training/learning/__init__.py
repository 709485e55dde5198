"""The training loop: batches, losses, steps over one or more processes, and what a run leaves on disk."""
