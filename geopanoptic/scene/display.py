"""How a scene shows itself: text, HTML and a quick-look picture."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from geopanoptic.errors import SceneError
from geopanoptic.grid import Grid
from geopanoptic.scene.clouds import cloud_share
from geopanoptic.scene.preview import read_composite, read_hidden, read_preview
from geopanoptic.scene.scene import Scene, listed

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_TRUE_COLOUR = ("red", "green", "blue")
_CLOUDS_STAND_OUT = ("blue", "green", "red")
_GLANCE_PX = 64
_CLOUD_TIMES_USUAL = 2.0
"""How much brighter than in the middle date ground is that clouds seem to hide, where no mask tells."""


def facts(scene: Scene) -> dict[str, str]:
    """The scene in a few lines, for people."""
    grid = scene.grid
    transform = grid.transform
    step = (math.hypot(transform.a, transform.d), math.hypot(transform.b, transform.e))
    unit = grid.crs.axis_info[0].unit_name if grid.crs.axis_info else "unit"
    declared = sorted({"none" if value is None else f"{value:g}" for value in scene.nodata})
    dates = [when for when in scene.dates if when]
    result = {
        "size": f"{grid.height} rows x {grid.width} columns",
        "pixel": f"{step[0]:.6g} x {step[1]:.6g} {unit}" + ("" if _is_upright(grid) else " (rotated)"),
        "CRS": _crs_name(scene),
        "bands": ", ".join(scene.bands),
        "dates": listed(dates) if dates else "not stated",
        "dtype": str(scene.dtype),
        "nodata": ", ".join(declared),
        "files": str(len(scene.files)),
    }
    if scene.warnings:
        result["warnings"] = " ".join(scene.warnings)
    return result


def _is_upright(grid: Grid) -> bool:
    return grid.transform.b == 0 == grid.transform.d


def _crs_name(scene: Scene) -> str:
    crs = scene.grid.crs
    authority = crs.to_authority()
    return f"{crs.name} ({':'.join(authority)})" if authority else crs.name


def as_text(scene: Scene) -> str:
    """A few aligned lines."""
    rows = [f"  {key:<8} {value}" for key, value in facts(scene).items()]
    return "\n".join([f"<Scene {scene.name!r}>", *rows])


def as_html(scene: Scene) -> str:
    """A small table; every text from the files is escaped."""
    rows = "".join(
        f"<tr><th style='text-align:left'>{html.escape(key)}</th>"
        f"<td style='text-align:left'>{html.escape(value)}</td></tr>"
        for key, value in facts(scene).items()
    )
    return f"<table><caption><b>Scene</b> {html.escape(scene.name)}</caption><tbody>{rows}</tbody></table>"


def quicklook(
    scene: Scene, bands: Sequence[str] | None = None, *, longest_px: int = 1024
) -> NDArray[np.uint8]:
    """RGB picture (H, W, 3): three bands, or one as grey; each stretched between its 2nd and 98th
    percentile; invalid pixels white. Of several dates, the one that shows most of the ground, and where its mask
    hides it the next."""
    names = picture_bands(scene, bands)
    values, valid = read_composite(by_clearness(scene, names), names, longest_px=longest_px)
    picture = np.full((*valid.shape, 3), 255, np.uint8)
    for channel in range(3):
        plane = values[channel % len(names)]
        low, high = np.percentile(plane[valid], (2, 98)) if valid.any() else (0.0, 1.0)
        stretched = np.clip((plane - low) / max(high - low, 1e-6), 0, 1)
        picture[..., channel][valid] = np.rint(stretched[valid] * 255).astype(np.uint8)
    return picture


def plot(
    scene: Scene,
    bands: Sequence[str] | None = None,
    *,
    ax: Axes | None = None,
    longest_px: int = 1024,
) -> Axes:
    """Draws the quick look in map coordinates (pixel coordinates where the grid is rotated)."""
    if ax is None:
        import matplotlib.pyplot as plt

        ax = plt.subplots(figsize=(7, 7))[1]
    names = picture_bands(scene, bands)
    picture = quicklook(scene, names, longest_px=longest_px)
    scene = clearest(scene, names)
    grid = scene.stored_grid
    if _is_upright(grid):
        left, top = grid.transform @ (0, 0)
        right, bottom = grid.transform @ (grid.width, grid.height)
        shape = _shape_of_unit(grid)
        ax.imshow(picture, extent=(left, right, bottom, top), interpolation="none", aspect=shape)
        ax.set_xlim(min(left, right), max(left, right))
        ax.set_ylim(min(bottom, top), max(bottom, top))
        ax.ticklabel_format(style="plain", useOffset=False)
    else:
        ax.imshow(picture, extent=(0, grid.width, grid.height, 0), interpolation="none")
    when = f", {scene.dates[0]}" if scene.dates[0] else ""
    ax.set_title(f"{scene.name}{when}: {', '.join(names)}", parse_math=False)
    return ax


def _shape_of_unit(grid: Grid) -> float:
    """Height over width on the ground of a square of map units: 1 but in degrees, which narrow towards the poles."""
    if not grid.crs.is_geographic:
        return 1.0
    width_m, height_m = grid.pixel_size_m()
    return height_m / abs(grid.transform.e) / (width_m / abs(grid.transform.a))


def clearest(scene: Scene, bands: Sequence[str] = ()) -> Scene:
    """Of the dates that have all ``bands``, the one that shows most of the ground. Raises SceneError."""
    return by_clearness(scene, bands)[0]


def by_clearness(scene: Scene, bands: Sequence[str] = ()) -> tuple[Scene, ...]:
    """The single dates of a scene that have all ``bands``, those that show most of the ground first.

    Where neither masks nor metadata tell, ground that is much brighter than in the middle date counts as hidden. Raises SceneError where several dates have them only together.
    """
    if len(scene.dates) == 1:
        return (scene,)
    singles = [single for single in scene.single_dates() if set(bands) <= set(single.bands)]
    if not singles:
        raise SceneError(
            f"{scene.name} has no date with {' and '.join(bands)}; it has {', '.join(scene.bands)}.",
            remedy="Add the missing band's file, or name other bands.",
        )

    stated = [None if single.masks else cloud_share(single) for single in singles]
    told = any(single.masks for single in singles) or any(each is not None for each in stated)
    common = set.intersection(*(set(single.bands) for single in singles))
    looked = next((band for band in (*_CLOUDS_STAND_OUT, *singles[0].bands) if band in common), None)
    glances = [
        read_preview(single, (looked or single.bands[0],), longest_px=_GLANCE_PX) for single in singles
    ]
    shown = [
        valid & ~read_hidden(single, longest_px=_GLANCE_PX)
        for single, (_, valid) in zip(singles, glances, strict=True)
    ]
    if looked is not None and not told:
        seen = np.sort(np.where(shown, [values[0] for values, _ in glances], np.inf), axis=0)
        # Of two in the middle the darker one: clouds on half of the dates are not usual.
        middle = np.maximum(np.isfinite(seen).sum(axis=0) - 1, 0) // 2
        usual = np.take_along_axis(seen, middle[None], axis=0)[0]
        shown = [
            each & ((values[0] <= _CLOUD_TIMES_USUAL * usual) | (usual <= 0))
            for each, (values, _) in zip(shown, glances, strict=True)
        ]
    share = [float(each.mean()) * (1 - (cloudy or 0.0)) for each, cloudy in zip(shown, stated, strict=True)]
    return tuple(singles[at] for at in sorted(range(len(singles)), key=lambda at: -share[at]))


def picture_bands(scene: Scene, bands: Sequence[str] | None) -> tuple[str, ...]:
    """The bands of a picture: those asked for, else true colour, else the first. Raises SceneError."""
    if bands is None:
        in_colour = any(set(_TRUE_COLOUR) <= set(bands) for bands in scene.bands_by_date.values())
        return _TRUE_COLOUR if in_colour else scene.bands[:1]
    if len(bands) not in (1, 3):
        raise SceneError(
            f"A picture takes one or three bands, not {len(bands)}.", remedy="Name red, green and blue."
        )
    return tuple(bands)
