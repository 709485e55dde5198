"""Scenes: from files to named bands, validity and float32 pixels of any window.

``open_scene`` (``opening``) takes what a user gives, chooses dates (``choosing``), leaves out cloudy ones (``clouds``)
and lays all on one grid (``assembling``): a ``Scene``. Beneath it, each folder knowing only those after it:

``containers``
    Sentinel-2 products, STAC, cubes and PASTIS patches, which name their own bands, masks and dates;
``pixels``
    windows of the scene's grid: bands laid on it, read with validity, averaged;
``bands``
    the name, date and scale of every band of a file, and masks;
``files``
    what may be opened, and the numbers stored in it.

``measure`` finds the scene's normalisation (``radiometry``).
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
