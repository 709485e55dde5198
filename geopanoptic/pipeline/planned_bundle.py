"""The bundle of a planned run, as the processes that compute the run find it."""

from __future__ import annotations

from pathlib import Path

from geopanoptic.errors import ModelError
from geopanoptic.models.bundle import Bundle, load_bundle


def planned_bundle(path: Path, sha256: str) -> Bundle:
    """The bundle at ``path``; ModelError where its weights are not those of ``sha256``, and as ``load_bundle``."""
    bundle = load_bundle(path)
    if bundle.sha256 != sha256:
        raise ModelError(
            f"{path} holds other weights than when the run was planned.",
            remedy="Give all workers the same bundle, and do not change it during a run.",
        )
    return bundle
