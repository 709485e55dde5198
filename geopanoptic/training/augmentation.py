"""Random changes of a training sample that leave its labels true."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geopanoptic.training.targets import IGNORED

VISIBLE = slice(0, 3)  # blue, green, red in the canonical order
_NEAR_INFRARED = 6
_VALUE_RANGE = (-1.0, 2.0)


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One crop. ``image_chw`` (C, h, w) float32 normalised bands, ``seen_chw`` bool availability;
    every entry of ``labels`` (h * s, w * s), s the network's output scale."""

    image_chw: NDArray[np.float32]
    seen_chw: NDArray[np.bool_]
    labels: dict[str, NDArray]


def augment(sample: Sample, rng: np.random.Generator) -> Sample:
    """One random variant: turned, recoloured, with bands or areas missing, blurred, noisy."""
    sample = _turned(sample, rng)
    image = _recoloured(sample.image_chw.copy(), rng)
    if rng.random() < 0.15:
        image = ndimage.gaussian_filter(image, (0, *[rng.uniform(0.3, 0.7)] * 2))
    image += rng.normal(0, rng.uniform(0, 0.04), image.shape).astype(np.float32)
    seen = sample.seen_chw & _kept_bands(len(image), rng)[:, None, None]
    sample = replace(sample, image_chw=np.clip(image, *_VALUE_RANGE), seen_chw=seen)
    return _with_nodata(sample, rng) if rng.random() < 0.12 else sample


def _turned(sample: Sample, rng: np.random.Generator) -> Sample:
    quarter_turns, mirrored = int(rng.integers(4)), rng.random() < 0.5

    def turn(array: NDArray) -> NDArray:
        turned = np.rot90(array, quarter_turns, axes=(-2, -1))
        return np.ascontiguousarray(turned[..., ::-1] if mirrored else turned)

    return Sample(
        image_chw=turn(sample.image_chw),
        seen_chw=turn(sample.seen_chw),
        labels={name: turn(values) for name, values in sample.labels.items()},
    )


def _recoloured(image: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    n_bands = len(image)
    common_gain, common_shift = rng.uniform(0.8, 1.25), rng.normal(0, 0.1)
    gain = common_gain * rng.uniform(0.85, 1.15, (n_bands, 1, 1))
    shift = common_shift + rng.normal(0, 0.1, (n_bands, 1, 1))
    image = ((image - 0.4) * gain + 0.4 + shift).astype(np.float32)
    chance = rng.random()
    if chance < 0.08:
        image[VISIBLE] = image[VISIBLE].mean(axis=0)
    elif chance < 0.18:
        image[VISIBLE] = image[VISIBLE][rng.permutation(3)]
    return image


def _kept_bands(n_bands: int, rng: np.random.Generator) -> NDArray[np.bool_]:
    """RGB alone in 40 % of cases, RGB and near infrared in 25 %, otherwise what there is."""
    kept = np.ones(n_bands, bool)
    chance = rng.random()
    if chance < 0.65:
        kept[3:] = False
        kept[_NEAR_INFRARED] = chance >= 0.4
    return kept


def _with_nodata(sample: Sample, rng: np.random.Generator) -> Sample:
    """A skewed edge of no data, as orbits and mosaics leave it; unlabelled there."""
    height, width = sample.image_chw.shape[1:]
    scale = sample.labels["class"].shape[0] // height
    angle = rng.uniform(0, 2 * np.pi)
    cut_px = rng.uniform(0.2, 0.5) * height

    def hidden(step: int) -> NDArray[np.bool_]:
        rows, cols = np.ogrid[: height * step, : width * step]
        # Output pixels are judged by the input pixel they lie in.
        across = np.cos(angle) * (rows // step - height / 2) + np.sin(angle) * (cols // step - width / 2)
        return across > cut_px

    labels = dict(sample.labels)
    blind = hidden(scale)
    for name, nothing in (("class", IGNORED), ("boundary", IGNORED), ("weight", 0), ("shape_weight", 0)):
        labels[name] = np.where(blind, nothing, labels[name]).astype(labels[name].dtype)
    return replace(sample, seen_chw=sample.seen_chw & ~hidden(1), labels=labels)
