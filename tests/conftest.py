"""Shared fixtures: where the real data lies, and quiet, repeatable test runs."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import settings

# Several test processes share few cores.
os.environ.setdefault("OMP_NUM_THREADS", "1")

settings.register_profile("steady", deadline=None, derandomize=True, print_blob=True)
settings.load_profile("steady")

REPOSITORY = Path(__file__).resolve().parents[1]


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Folder of the real data sets (``GEOPANOPTIC_DATA`` or ``../shared/data``); skips where it is absent."""
    folder = Path(os.environ.get("GEOPANOPTIC_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "README.md").is_file():
        pytest.skip(f"real data not found at {folder}; set GEOPANOPTIC_DATA to its folder")
    return folder
