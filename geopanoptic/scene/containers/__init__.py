"""What holds a whole scene together: Sentinel-2 products, STAC documents, cubes, xarray arrays, PASTIS patches."""
