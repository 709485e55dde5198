"""The bundle of a planned run, as the processes that compute the run find it."""

from __future__ import annotations

from pathlib import Path

from geopanoptic.errors import ModelError
from geopanoptic.models.bundle import Bundle, load_bundle


def planned_bundle(path: Path, fingerprint: str) -> Bundle:
    """The bundle at ``path``; ModelError where it does not have this ``fingerprint``, and as ``load_bundle``."""
    bundle = load_bundle(path)
    if bundle.fingerprint != fingerprint:
        raise ModelError(
            f"{path} holds another bundle than when the run was planned.",
            remedy="Give all workers the same bundle, and do not change it during a run.",
        )
    return bundle
