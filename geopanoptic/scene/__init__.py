"""Scenes: from files to named bands, validity and float32 pixels of any window.

``open_scene`` finds files (``opening``), reads headers (``headers``), names bands and masks (``naming``), chooses
dates (``choosing``) and lays all on one grid (``layering``, ``clouds``): a ``Scene``. ``Scene.read`` reads pixels of
a date (``reading``, ``resampling``, ``masking``); ``measure`` finds the scene's normalisation (``radiometry``).
Containers name their own bands, masks and dates (``containers``): Sentinel-2 products (``safe``), STAC (``stac``),
NetCDF and Zarr cubes (``cubes``), patches of PASTIS (``pastis``).
"""

from geopanoptic.scene.caching import cache_bytes, configure_gdal
from geopanoptic.scene.files.blocks import OnUnreadable, UnreadableBlock
from geopanoptic.scene.files.sources import SceneSource, SourceFile
from geopanoptic.scene.opening import as_scene, open_scene
from geopanoptic.scene.pixels.reading import Layer, Pixels
from geopanoptic.scene.radiometry import Normalisation, measure
from geopanoptic.scene.sampling import Sample, take_sample
from geopanoptic.scene.scene import Scene
from geopanoptic.scene.survey import Survey, survey, suspicions

__all__ = [
    "Layer",
    "Normalisation",
    "OnUnreadable",
    "Pixels",
    "Sample",
    "Scene",
    "SceneSource",
    "SourceFile",
    "Survey",
    "UnreadableBlock",
    "as_scene",
    "cache_bytes",
    "configure_gdal",
    "measure",
    "open_scene",
    "survey",
    "suspicions",
    "take_sample",
]
