"""Does the model suit the scene: its bands, its dates, its pixels, and what of that is worth a note or a warning."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.models.bundle import DEFAULT_BUNDLE, Bundle, list_bundles, load_bundle
from geopanoptic.scene import Scene

REQUIRED_BANDS = ("blue", "green", "red")
SERIES_BUNDLE = "fields-series"
"""What maps a scene of several dates where no model is asked for."""
THOROUGH_BUNDLE = "fields-m"
"""What maps a scene of one date there, as long as it is not too large."""
THOROUGH_UP_TO_PX = 25_000_000
"""Of the pixels that the network is shown: what it maps in two minutes on two cores. The scene decides, not the machine:
a map does not depend on who makes it."""
DEFAULT_FOR = {
    SERIES_BUNDLE: "several dates",
    THOROUGH_BUNDLE: f"one date, up to {THOROUGH_UP_TO_PX / 1e6:.0f} million pixels",
    DEFAULT_BUNDLE: f"one date, above {THOROUGH_UP_TO_PX / 1e6:.0f} million pixels",
}
"""What the bundled models map where none is asked for."""

_LONGEST_SEASON_DAYS = 456
"""Fifteen months: those of PASTIS take fourteen."""


def bundle_for(scene: Scene, model: str | Path | None = None, pixel_size: float | str = "auto") -> Bundle:
    """The bundle of a name or folder; by default what the scene decides: ``SERIES_BUNDLE`` for several dates,
    ``THOROUGH_BUNDLE`` up to ``THOROUGH_UP_TO_PX``, else, or where these are not bundled, the fast one.

    Raises ModelError as ``load_bundle``, UsageError as ``at_working_pixel``.
    """
    return load_bundle(_default_for(scene, pixel_size) if model is None else model)


def _default_for(scene: Scene, pixel_size: float | str) -> str | None:
    bundled = list_bundles()
    if len(scene.dates) > 1:
        return SERIES_BUNDLE if SERIES_BUNDLE in bundled else None
    if THOROUGH_BUNDLE not in bundled:
        return None
    shown = at_working_pixel(scene, load_bundle(THOROUGH_BUNDLE), pixel_size).grid
    return THOROUGH_BUNDLE if shown.height * shown.width <= THOROUGH_UP_TO_PX else None


def note_of_default(scene: Scene, bundle: Bundle) -> tuple[str, ...]:
    """What a user should know of a bundle that nobody asked for: that there is a better one, and what it costs."""
    if bundle.name != DEFAULT_BUNDLE or len(scene.dates) > 1 or THOROUGH_BUNDLE not in list_bundles():
        return ()
    return (
        f"Scenes above {THOROUGH_UP_TO_PX / 1e6:.0f} million pixels are mapped by {bundle.name}. --model {THOROUGH_BUNDLE} is better "
        "on small parcels and takes about six times as long.",
    )


def at_working_pixel(scene: Scene, bundle: Bundle, pixel_size: float | str = "auto") -> Scene:
    """The scene in the pixels that the network is to be shown: about ``pixel_size`` metres, those of the files
    (``native``), or (``auto``) as the bundle likes them, unless the scene has been reduced already.

    Raises UsageError for another word, and for a size that is no size or much finer than the files' pixels.
    """
    if pixel_size == "auto":
        return scene if scene.reduction is not None else scene.for_network(bundle.reading_pixel_m)
    if pixel_size == "native":
        return scene.reduced(1)
    stored_m = max(scene.stored_grid.pixel_size_m())
    try:
        wanted_m = float(pixel_size)
    except (TypeError, ValueError):
        wanted_m = math.nan
    if not 0 < wanted_m < math.inf:
        raise UsageError(
            f"--pixel-size is {pixel_size!r}.", remedy="Give auto, native or a number of metres, such as 5."
        )
    if wanted_m < stored_m / 1.5:
        raise UsageError(
            f"--pixel-size is {wanted_m:g} m and the pixels of {scene.name} are {length_text(stored_m)} already.",
            remedy="Leave it out, or give native: nothing is gained by finer pixels than the files have.",
        )
    return scene.at_pixel_size(wanted_m)


def matching_bands(scene: Scene, of_model: Sequence[str], *, model: str) -> tuple[str, ...]:
    """Those of a model's bands that the scene has. Raises SceneError where a date lacks one that the model needs."""
    bands = tuple(band for band in of_model if band in scene.bands)
    required = [band for band in REQUIRED_BANDS if band in of_model]
    for when, present in scene.bands_by_date.items():
        lacking = [band for band in required or of_model if band not in present]
        if not lacking or (not required and len(lacking) < len(of_model)):
            continue
        whose = scene.name if len(scene.dates) == 1 else f"{scene.name} of {when}"
        raise SceneError(
            f"{whose} has no {', '.join(lacking)} band. Model {model} takes "
            f"{', '.join(of_model)} and needs at least {', '.join(required) or 'one of them'}; "
            f"{'the scene' if len(scene.dates) == 1 else 'that date'} has {', '.join(present)}.",
            remedy="Name the file's bands in their order with --bands (a '-' skips one), or add the missing files.",
        )
    return bands


def check_one_date(scene: Scene, *, model: str) -> None:
    """Raises SceneError for a scene of several dates, of which a model of single images takes one."""
    dates = [str(when) for when in scene.dates if when is not None]
    if len(dates) > 1:
        raise SceneError(
            f"{scene.name} has {len(dates)} dates ({', '.join(dates)}) and model {model} takes one.",
            remedy=f"Choose one with --dates {dates[len(dates) // 2]}, or a model that takes them all, such as "
            f"{SERIES_BUNDLE}.",
        )


def notes_of(scene: Scene, bundle: Bundle, asked_pixel_m: float | None) -> tuple[str, ...]:
    """What a user should know of how the scene is read: pixels that are not the files', several dates."""
    notes = list(_reading_notes(scene, asked_pixel_m))
    if len(scene.dates) > 1:
        notes.append(f"All {dates_text(scene)} are used: model {bundle.name} takes a season.")
    return tuple(notes)


def warnings_of(scene: Scene, bundle: Bundle) -> tuple[str, ...]:
    """What a user should doubt of the map: pixels, seasons or dates unlike those the model learned from."""
    return (*_pixel_size_warnings(scene, bundle), *_season_warnings(scene, bundle))


def _reading_notes(scene: Scene, asked_pixel_m: float | None) -> tuple[str, ...]:
    """Which pixels the network is shown, where those are not the files' or not those asked for."""
    stored_m, read_m = (max(grid.pixel_size_m()) for grid in (scene.stored_grid, scene.grid))
    stored, read = length_text(stored_m), length_text(read_m)
    notes = []
    if asked_pixel_m is not None and is_rounded(asked_pixel_m, read_m):
        notes.append(
            f"Pixels of {length_text(asked_pixel_m)} were asked for; the nearest possible are {read}, as whole pixels "
            f"of {stored} make one."
        )
    if scene.reduction is not None:
        factor = scene.reduction.factor
        how = f"Read at {read}: every pixel is the mean of {factor} x {factor} of the scene's {stored}."
        other = " `geopanoptic run --pixel-size` says otherwise (metres, or native)."
        notes.append(how + (other if asked_pixel_m is None else ""))
    return tuple(notes)


def _pixel_size_warnings(scene: Scene, bundle: Bundle) -> tuple[str, ...]:
    pixel_m = max(scene.grid.pixel_size_m())
    low, high = bundle.pixel_size_m
    if low <= pixel_m <= high:
        return ()
    return (
        f"The network is shown pixels of {length_text(pixel_m)}; model {bundle.name} was trained on {low:g} to {high:g} m. "
        "Look at the result before you trust it.",
    )


def _season_warnings(scene: Scene, bundle: Bundle) -> tuple[str, ...]:
    """A series is one season, and kinds of parcels that are told by it need dates."""
    if not bundle.takes_series:
        return ()
    first, last = scene.dates[0], scene.dates[-1]
    if first is not None and last is not None and (last - first).days > _LONGEST_SEASON_DAYS:
        return (
            f"The dates reach from {first} to {last}, and model {bundle.name}, which goes by the day of the year, takes "
            "them as one season: crops of several years are mixed. Choose one with --from and --to.",
        )
    if sum(each.kind == "thing" for each in bundle.classes) < 2:
        return ()
    if None in scene.dates:
        return (
            f"{scene.name} states no date, and model {bundle.name} tells kinds of parcels by the day of the year: they "
            "are guesses. Give --dates, or use a model of one kind.",
        )
    if len(scene.dates) == 1:
        return (f"{scene.name} has one date: kinds of parcels are often wrong then.",)
    return ()


def is_rounded(asked_m: float, given_m: float) -> bool:
    """Whether a length is another one to three digits, as both are told."""
    return length_text(asked_m) != length_text(given_m)


def length_text(length_m: float) -> str:
    """Metres for people, to three digits: ``2.5 m``, ``1000 m``."""
    return f"{float(f'{length_m:.3g}'):g} m"


def dates_text(scene: Scene) -> str:
    first, *others = (str(when) for when in scene.dates)
    return f"{len(scene.dates)} dates from {first} to {others[-1]}" if others else first
