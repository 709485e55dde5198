"""Fusion rules of the panoptic literature over the same instances and the same semantic evidence."""
