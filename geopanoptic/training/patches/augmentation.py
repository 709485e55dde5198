"""Random changes of a training sample that leave its labels true."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch.nn import functional

from geopanoptic.training.config import AugmentationSettings
from geopanoptic.training.patches.patch import OUTPUT_SCALE, Patch
from geopanoptic.training.patches.targets import IGNORED

_VISIBLE = ("blue", "green", "red")
_NEAR_INFRARED = "nir"
_VALUE_RANGE = (-1.0, 2.0)

WHOLLY_SEEN = 0.999
"""Mean of the flags that a pixel was made of, above which all of them were set."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One crop of one date or several.

    ``image_tchw`` (T, C, h, w) float32 normalised bands, ``seen_tchw`` bool availability, ``day_t`` (T,) float32
    days of the year, NaN where unknown; every entry of ``labels`` (h * s, w * s), s the network's output scale.
    """

    image_tchw: NDArray[np.float32]
    seen_tchw: NDArray[np.bool_]
    day_t: NDArray[np.float32]
    labels: dict[str, NDArray]


def zoomed(patch: Patch, factor: float) -> Patch:
    """The same ground in pixels ``factor`` times smaller; above 1 parcels grow.

    The image is bilinear, averaged where it shrinks; instances and classes are nearest, so that targets can be
    derived from whole parcels again. A pixel is seen where everything it is made of was.
    """
    height, width = (max(round(length * factor), 1) for length in patch.shape)

    def resized(array_chw: NDArray) -> NDArray[np.float32]:
        tensor = torch.from_numpy(np.ascontiguousarray(array_chw, np.float32))[None]
        return functional.interpolate(tensor, (height, width), mode="bilinear", antialias=True)[0].numpy()  # type: ignore[no-any-return]

    rows, cols = (
        ((np.arange(new * OUTPUT_SCALE) + 0.5) * (old / new)).astype(np.intp)
        for new, old in zip((height, width), patch.shape, strict=True)
    )
    seen_chw = resized(patch.seen_chw) > WHOLLY_SEEN
    return Patch(
        image_chw=resized(patch.image_chw) * seen_chw,
        seen_chw=seen_chw,
        instances_hw=patch.instances_hw[np.ix_(rows, cols)],
        classes_hw=patch.classes_hw[np.ix_(rows, cols)],
    )


def altered(
    sample: Sample, settings: AugmentationSettings, rng: np.random.Generator, *, bands: Sequence[str]
) -> Sample:
    """One random variant, all dates alike: recoloured, with some of its ``bands`` or areas missing, blurred, noisy."""
    image = _recoloured(sample.image_tchw.copy(), bands, settings, rng)
    if rng.random() < settings.blur_chance:
        image = ndimage.gaussian_filter(image, (0, 0, *[rng.uniform(0.3, 0.7)] * 2))
    image += rng.normal(0, rng.uniform(0, settings.noise), image.shape).astype(np.float32)
    seen = sample.seen_tchw & _kept_bands(bands, settings, rng)[:, None, None]
    sample = replace(sample, image_tchw=np.clip(image, *_VALUE_RANGE), seen_tchw=seen)
    return _with_nodata(sample, rng) if rng.random() < settings.nodata_chance else sample


def turned(sample: Sample, rng: np.random.Generator) -> Sample:
    """One of the eight ways to lay it."""
    quarter_turns, mirrored = int(rng.integers(4)), rng.random() < 0.5

    def turn(array: NDArray) -> NDArray:
        laid = np.rot90(array, quarter_turns, axes=(-2, -1))
        return np.ascontiguousarray(laid[..., ::-1] if mirrored else laid)

    return replace(
        sample,
        image_tchw=turn(sample.image_tchw),
        seen_tchw=turn(sample.seen_tchw),
        labels={name: turn(values) for name, values in sample.labels.items()},
    )


def _recoloured(
    image: NDArray[np.float32],
    bands: Sequence[str],
    settings: AugmentationSettings,
    rng: np.random.Generator,
) -> NDArray[np.float32]:
    n_bands = len(bands)
    single = 0.15 / 0.22 * settings.gain
    common_gain, common_shift = (
        np.exp(rng.uniform(-settings.gain, settings.gain)),
        rng.normal(0, settings.shift),
    )
    gain = common_gain * np.exp(rng.uniform(-single, single, (n_bands, 1, 1)))
    shift = common_shift + rng.normal(0, settings.shift, (n_bands, 1, 1))
    image = ((image - 0.4) * gain + 0.4 + shift).astype(np.float32)
    chance = rng.random()
    if not _has_colours(bands):
        return image
    visible = [bands.index(name) for name in _VISIBLE]
    if chance < settings.grey_chance:
        image[:, visible] = image[:, visible].mean(axis=1, keepdims=True)
    elif chance < settings.grey_chance + settings.permute_chance:
        image[:, visible] = image[:, visible][:, rng.permutation(3)]
    return image


def _kept_bands(
    bands: Sequence[str], settings: AugmentationSettings, rng: np.random.Generator
) -> NDArray[np.bool_]:
    """RGB alone, RGB and near infrared, or what there is; always that where a colour of RGB is missing."""
    chance = rng.random()
    if not _has_colours(bands) or chance >= settings.visible_only + settings.visible_and_nir:
        return np.ones(len(bands), bool)
    shown = _VISIBLE if chance < settings.visible_only else (*_VISIBLE, _NEAR_INFRARED)
    return np.isin(bands, shown)


def _has_colours(bands: Sequence[str]) -> bool:
    return set(_VISIBLE) <= set(bands)


def _with_nodata(sample: Sample, rng: np.random.Generator) -> Sample:
    """A skewed edge of no data, as orbits and mosaics leave it; unlabelled there."""
    height, width = sample.image_tchw.shape[2:]
    angle = rng.uniform(0, 2 * np.pi)
    cut_px = rng.uniform(0.2, 0.5) * height

    def hidden(step: int) -> NDArray[np.bool_]:
        rows, cols = np.ogrid[: height * step, : width * step]
        # Output pixels are judged by the input pixel they lie in.
        across = np.cos(angle) * (rows // step - height / 2) + np.sin(angle) * (cols // step - width / 2)
        return across > cut_px

    labels = dict(sample.labels)
    blind = hidden(OUTPUT_SCALE)
    for name, nothing in (
        ("class", IGNORED),
        ("boundary", IGNORED),
        ("weight", 0),
        ("shape_weight", 0),
        ("instance", -1),
    ):
        labels[name] = np.where(blind, nothing, labels[name]).astype(labels[name].dtype)
    return replace(sample, seen_tchw=sample.seen_tchw & ~hidden(1), labels=labels)
