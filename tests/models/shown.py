"""What networks are shown in these tests, and what they say of it as they were trained."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from geopanoptic.models.bundle import Bundle

PARITY = 2e-5
"""Greatest difference of a probability between a runtime and the trained network as it is."""


def plane(bundle: Bundle, size_px: int, bands: tuple[str, ...] | None = None) -> NDArray[np.float32]:
    """Network input of a random scene with a hole of no data; bands that it lacks are zero."""
    rng = np.random.default_rng(3)
    n_bands = len(bundle.bands)
    values = rng.random((1, n_bands, size_px, size_px), dtype=np.float32)
    flags = np.ones_like(values)
    flags[:, :, size_px // 3 : size_px // 2, size_px // 2 : size_px // 2 + 20] = 0
    flags[:, [number for number, band in enumerate(bundle.bands) if band not in (bands or bundle.bands)]] = 0
    return np.concatenate([values * flags, flags], axis=1)


def as_trained(bundle: Bundle, input_bchw: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    """Probabilities of the network as it was trained, in torch."""
    with torch.inference_mode():
        logits = bundle.network()(torch.from_numpy(input_bchw))
    return {
        name: (values.softmax(1) if name == "semantic" else values.sigmoid()).numpy()
        for name, values in logits.items()
    }
