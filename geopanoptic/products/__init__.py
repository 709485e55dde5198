"""Everything a run leaves behind: layers, rasters, picture and report, made visible as one set.

``layers`` shapes the two tables, ``measures`` computes their figures, ``geopackage`` writes them, ``cog``
writes rasters block by block, ``style`` colours them, ``picture`` draws the map, ``report`` records the
run, and ``commit`` lets all of it appear at once or not at all.
"""
