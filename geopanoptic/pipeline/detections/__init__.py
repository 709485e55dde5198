"""Any instance model's outputs, tile by tile, as one map without seams.

``reading`` takes what detectors write, ``matching`` finds the same object in overlapping tiles, ``settling`` lets
a rule of fusion decide pixel by pixel, and ``fuse`` makes the products of a run of it.
"""
