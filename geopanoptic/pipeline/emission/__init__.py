"""Steps 7 and 8: regions become polygons, rasters and a catalogue's item, written into a commit."""
