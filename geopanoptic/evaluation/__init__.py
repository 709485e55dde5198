"""How good a map is: matching of segments, panoptic quality, recall by size."""
