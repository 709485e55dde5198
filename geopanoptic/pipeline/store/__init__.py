"""What a run keeps on disk while it runs: one file per block and layer, and what was left out of it."""
