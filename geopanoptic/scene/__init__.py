"""Scenes: from files to named bands, validity and float32 pixels of any window.

``open_scene`` reads headers (``headers``, ``naming``, ``alignment``) and gives a ``Scene``; ``Scene.read``
reads pixels (``reading``, ``resampling``); ``measure`` finds the scene's normalisation (``radiometry``).
"""

from geopanoptic.scene.blocks import OnUnreadable, UnreadableBlock
from geopanoptic.scene.caching import cache_bytes, configure_gdal
from geopanoptic.scene.opening import open_scene
from geopanoptic.scene.radiometry import Normalisation, measure
from geopanoptic.scene.reading import Layer, Pixels
from geopanoptic.scene.sampling import Sample, take_sample
from geopanoptic.scene.scene import Scene
from geopanoptic.scene.sources import SceneSource, SourceFile
from geopanoptic.scene.survey import Survey, survey

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
    "cache_bytes",
    "configure_gdal",
    "measure",
    "open_scene",
    "survey",
    "take_sample",
]
