"""What the sample says about a scene's validity, and what it suspects."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from geopanoptic.grid import Window
from geopanoptic.scene.files.sources import shown
from geopanoptic.scene.pixels.reading import read_layers
from geopanoptic.scene.sampling import Sample, sample_windows, take_sample
from geopanoptic.scene.scene import Scene

_SUSPECT_SHARE = 0.01
_LARGE_SHARE = 0.5
_IN_SOME_BANDS_SHARE = 0.05
"""Above what borders of bands that do not quite lie on one another, or dark water, leave out."""
_SATURATED_SHARE = 0.05
_TRANSLUCENT_SHARE = 0.05
_FEW_LEVELS = 32
_ENOUGH_PX = 1000
"""Below, a sample says nothing about a sensor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """``valid_share`` of the sampled pixels valid in all sampled bands, and ``warnings`` for the user."""

    valid_share: float
    warnings: tuple[str, ...]


def survey(scene: Scene, *, sample: Sample | None = None) -> Survey:
    """Valid share and suspicions of a scene of one date, from its fixed sample.

    Warns of an all-nodata scene, of a border that nobody declared (F22: every band has the same constant,
    0 or the value of a corner), of a declared nodata value that removes more than half, or much that
    other bands have data for (F24), of bands that have one value everywhere, and of numbers that are hardly reflectances
    whatever their scale: mostly negative, of few levels, or saturated (F16); and of an alpha band that looks like a picture.
    """
    sample = take_sample(scene) if sample is None else sample
    warnings = []
    share = sample.valid_share
    in_some_bands = _nodata_in_some_bands(scene, sample)
    if share == 0 and not in_some_bands:
        hidden = (
            scene.masks and take_sample(replace(scene, masks=()), on_unreadable=lambda _: None).valid_n.any()
        )
        why = f"its cloud mask ({scene.masks[0].name}) hides everything" if hidden else "everything is nodata"
        warnings.append(f"{scene.name} has no valid pixel: {why}.")
    elif share < 1 - _LARGE_SHARE:
        warnings.append(
            f"Only {share:.0%} of {scene.name} is valid; if that surprises you, check its nodata value"
            + (" and its cloud mask." if scene.masks else ".")
        )
    warnings += [*in_some_bands, *suspicions(scene, sample)]
    return Survey(valid_share=share, warnings=tuple(warnings))


def _nodata_in_some_bands(scene: Scene, sample: Sample) -> list[str]:
    """Much nodata in bands where others have data: rather numbers that happen to be the same, for a border is one of all
    bands. Read band by band, as a pixel of the sample is valid in all or none."""
    declared = {
        layer.band: layer.nodata
        for layer in scene.layers_of(sample.bands)
        if layer.nodata is not None and not np.isnan(layer.nodata)
    }
    if not declared or sample.valid_share > 1 - _IN_SOME_BANDS_SHARE:
        return []
    alone = replace(scene, masks=())
    valid = {band: take_sample(alone, [band], on_unreadable=lambda _: None).valid_n for band in sample.bands}
    some_n = np.any([*valid.values()], axis=0)
    lost = {band: (some_n & ~valid[band]).mean() for band in declared}
    share = float((some_n & ~np.all([valid[band] for band in declared], axis=0)).mean())
    if share <= _IN_SOME_BANDS_SHARE:
        return []
    values = ", ".join(f"{band} {declared[band]:g}" for band in declared if lost[band] > _SUSPECT_SHARE)
    return [
        f"{share:.0%} of {scene.name} is left out because it is nodata in some bands, but not in others ({values}). "
        "If that is a measurement there, declare another value: `gdal_edit -a_nodata`, or none: `gdal_edit -unsetnodata`."
    ]


def suspicions(scene: Scene, sample: Sample) -> list[str]:
    """What looks wrong with the valid pixels of a sample of one date: F22 and F16 of ``survey``."""
    warnings = []
    for value, part in _undeclared(scene, sample):
        warnings.append(
            f"{part:.1%} of {scene.name} is {value:g} in every band and not declared as nodata. If that is "
            f"a border, declare it: `gdal_edit -a_nodata {value:g}`."
        )
    return [
        *warnings,
        *_picture_in_alpha(scene),
        *_without_picture(scene, sample),
        *_unlike_reflectance(scene, sample),
    ]


def _picture_in_alpha(scene: Scene) -> list[str]:
    """A band that GDAL calls alpha for being the last of four, and that is one more colour."""
    alphas = {
        layer.source: replace(
            layer, index=layer.alpha_index, alpha_index=None, nodata=None, scale=1.0, offset=0.0
        )
        for layer in scene.layers
        if layer.alpha_index is not None
    }
    warnings = []
    for alpha in alphas.values():
        values = np.concatenate(
            [
                read_layers(scene.stored_grid, [alpha], window, lambda _: None)[0].ravel()
                for window in sample_windows(scene.stored_grid)
            ]
        )
        partly = float(((values > 0) & (values < values.max())).mean())
        if partly > _TRANSLUCENT_SHARE:
            warnings.append(
                f"{shown(alpha.source.name)} band {alpha.index} hides pixels where it is 0, as it is called alpha, but holds "
                f"more than transparent and opaque ({partly:.0%} of the pixels lie between). If it is near infrared, say so with "
                "--bands, for example --bands red,green,blue,nir."
            )
    return warnings


def _without_picture(scene: Scene, sample: Sample) -> list[str]:
    """Bands with one value only: an empty tile of an archive, or a band that was filled in."""
    values_cn = sample.values_cn[:, sample.valid_n]
    if values_cn.shape[1] < _ENOUGH_PX:
        return []
    constant = [
        (layer.band, f"{(float(values[0]) - layer.offset) / layer.scale:g}")
        for layer, values in zip(scene.layers_of(sample.bands), values_cn, strict=True)
        if np.ptp(values) == 0
    ]
    if len(constant) == len(values_cn):
        return [
            f"Every pixel looked at in {scene.name} has the same value ({', '.join(f'{n} {v}' for n, v in constant)}), so there "
            "is nothing to map. Look at the file; if that value means no data, declare it: `gdal_edit -a_nodata`."
        ]
    return [
        f"{scene.name}: the {name} band is {value} in every pixel looked at, so hardly an image. Leave it out with '-' in --bands."
        for name, value in constant
    ]


def _unlike_reflectance(scene: Scene, sample: Sample) -> list[str]:
    warnings = []
    layers = scene.layers_of(sample.bands)
    for layer, values in zip(layers, sample.values_cn[:, sample.valid_n], strict=True):
        if values.size < _ENOUGH_PX:
            continue
        place = f"{scene.name}: the {layer.band} band"
        if (values < 0).mean() > _LARGE_SHARE:
            warnings.append(f"{place} is mostly negative, so hardly a reflectance (decibels, an index?).")
        dtype = np.dtype(layer.dtype)
        if dtype.kind not in "iu":
            continue
        low, high = ((q - layer.offset) / layer.scale for q in np.percentile(values, (2, 98)))
        if 0 < abs(high - low) < _FEW_LEVELS:
            warnings.append(
                f"{place} has only {abs(high - low) + 1:.0f} levels between its dark and its bright pixels; "
                "weak borders are lost. Give the original numbers, not a picture of them."
            )
        top = layer.scale * np.iinfo(dtype).max + layer.offset
        if (saturated := float((values >= np.float32(top)).mean())) > _SATURATED_SHARE:
            warnings.append(f"{place} is saturated in {saturated:.0%} of its pixels.")
    return warnings


def _undeclared(scene: Scene, sample: Sample) -> list[tuple[float, float]]:
    """Constants that fill more than 1 % of the sampled pixels in every band, with their share."""
    if len(sample.bands) < 2 or not sample.valid_n.any():
        return []
    same = (sample.values_cn == sample.values_cn[0]).all(axis=0) & sample.valid_n
    constants = {0.0, *_corners(scene, sample)}
    if sample.values_cn[0].size and np.ptp(sample.values_cn[0][sample.valid_n]) == 0:
        return []
    shares = {value: float((same & (sample.values_cn[0] == value)).mean()) for value in constants}
    return [(value, share) for value, share in sorted(shares.items()) if share > _SUSPECT_SHARE]


def _corners(scene: Scene, sample: Sample) -> NDArray[np.float32]:
    """The first band's values in the sample's first and last pixels of the scene's four corners."""
    last_row, last_col = scene.grid.height - 1, scene.grid.width - 1
    pixels = [
        # An unreadable corner is no border's value; whoever took the sample has been told of it.
        scene.read(Window(row, col, row + 1, col + 1), sample.bands, on_unreadable=lambda _: None)
        for row in {0, last_row}
        for col in {0, last_col}
    ]
    return np.array([values[0, 0, 0] for values, valid in pixels if valid[0, 0]], np.float32)
