"""The eight steps from scene to map: plan, stages, run store, executor, progress."""
