"""From quantised network maps to instances and polygons: pure numpy and numba, no files, no torch."""
