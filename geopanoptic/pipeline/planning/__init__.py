"""Step 2: what a run will do, and whether the memory, the disk and the model are there for it."""
