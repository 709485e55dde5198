"""From quantised network maps to instances and polygons, in the order ``quantisation``, ``watershed``, ``graph``, ``parcels``,
``fusion``, ``coverage``: pure numpy and numba, no files, no torch."""
