"""Two maps of any kind and CRS, brought to one pixel grid."""
