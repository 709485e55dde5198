"""``geopanoptic.evaluate``: one map against the truth, on one pixel grid, in blocks of rows."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import shapely

from geopanoptic.arguments import path_text
from geopanoptic.errors import UsageError
from geopanoptic.evaluation.evaluation import Evaluation
from geopanoptic.evaluation.maps.ground import Ground, common_ground
from geopanoptic.evaluation.maps.labelmap import ClassScheme, MapSource
from geopanoptic.evaluation.maps.raster_reading import row_blocks
from geopanoptic.evaluation.maps.raster_source import read_raster
from geopanoptic.evaluation.maps.segments import Category
from geopanoptic.evaluation.maps.vector_source import read_vector, vector_source
from geopanoptic.evaluation.metrics.boundaries import BoundaryTally
from geopanoptic.evaluation.metrics.contingency import UNKNOWN, Contingency, Tally
from geopanoptic.evaluation.metrics.figures import Figures, MapPair, SeamPair, figures_of
from geopanoptic.evaluation.metrics.matching import OUTSIDE, PROTOCOLS, Outside, match
from geopanoptic.grid import Window

PARCEL = "parcel"
RASTER_SUFFIXES = {".tif", ".tiff", ".jp2", ".img"}
TOLERANCE_PX = 2
_FEW = 0.25
_TELL = 0.01
BLOCK_PX = 8_000_000


def evaluate(
    pred: Any,
    truth: Any,
    *,
    area: str | Path | geopandas.GeoDataFrame | None = None,
    outside: str = "both",
    sparse: bool = False,
    protocol: str = "coco",
    class_column: str | None = None,
    void_class: str | None = None,
    layer: str | None = None,
    resolution_m: float | None = None,
    tolerance_m: float | None = None,
    min_area_m2: float = 0.0,
    seams_px: int | None = None,
    block_px: int = BLOCK_PX,
) -> Evaluation:
    """Compare a map with the truth.

    Parameters
    ----------
    pred, truth
        A vector file (of our own GeoPackages both layers), a label GeoTIFF (0 none, negative or a declared
        nodata value unknown), a folder that ``geopanoptic run --rasters`` wrote, a GeoDataFrame, or what
        ``geopanoptic.run`` returns; each in any CRS.
    area
        Polygons (file or GeoDataFrame) within which the truth is complete; without them, the bounding box common to
        both maps. Ground outside is void: of a parcel at its rim only what lies inside is compared, so that a truth
        that was cut there is met, and a prediction that runs on over the rim costs nothing.
    outside
        Whether predictions on ground without a true segment ``count`` against the map, are ignored
        (``ignore``), or ``both``, which gives both figures.
    sparse
        Only some objects are drawn in the truth: nothing is said about false parcels.
    protocol
        ``coco`` or ``pastis``, see ``geopanoptic.evaluation.metrics.matching``.
    class_column
        Column with the class of a thing, of both maps, or ``"pred_column,truth_column"``. Without it
        ``class_name`` is used where both maps have it and share a class; else all things are of one class. The
        ground of a true thing without a class is unknown, a predicted one without a class finds none.
    void_class
        Name of the class of true objects whose class is unknown; only matters with classes.
    layer
        Layer of a truth with several, or ``"pred_layer,truth_layer"``. Without it ``parcels`` and ``landcover`` are
        read, or the first layer of polygons.
    resolution_m
        Pixel of the grid; by default a raster's own, or for two vector maps the one of 1, 2, 2.5, 5 x 10^n m
        that gives the median true object at least 400 pixels, within 0.25 to 10 m.
    tolerance_m
        Of the boundary F-score, rounded to whole pixels; by default two pixels.
    min_area_m2
        Smaller true objects are neither found nor missed, smaller predictions not wrong: in PQ and recall.
    seams_px
        Side of a lattice of tiles, in pixels of the grid from the corner of the predicted raster, else of the true one,
        else of the ground of both: also gives the panoptic quality of the objects that touch its borders, and of the
        others.
    block_px
        Pixels read at a time. No figure depends on it.

    Raises
    ------
    UsageError
        A file cannot be read, lacks CRS, column or polygons, or the maps do not overlap.
    """
    rules = _choose(outside, OUTSIDE, "outside")
    if protocol not in PROTOCOLS:
        raise UsageError(f"There is no protocol {protocol!r}.", remedy=f"Take {' or '.join(PROTOCOLS)}.")
    _refuse_not_positive(resolution=resolution_m, tolerance=tolerance_m, seams=seams_px)
    if not 0 <= min_area_m2 < math.inf:
        raise UsageError(
            f"--min-area is {min_area_m2}, where square metres from 0 are expected.",
            remedy="Leave it out, or correct it.",
        )
    layers = layers_of(layer)
    predicted, true = open_map(pred, layer=layers[0]), open_map(truth, layer=layers[1])
    ground = common_ground(predicted, true, area=_area(area), sparse=sparse, resolution_m=resolution_m)
    columns = _columns(class_column)
    categories, scheme, note = _categories(predicted, true, columns, void_class)
    pair = MapPair(
        predicted=predicted.on(ground.grid, scheme, column=columns[0], void_class=None),
        true=true.on(ground.grid, scheme, column=columns[1], void_class=void_class),
        ground=ground,
        predicted_name=predicted.name,
        true_name=true.name,
    )
    boundary = BoundaryTally(tolerance_px=_tolerance_px(tolerance_m, ground))
    seams = SeamPair(pair, seams_px) if seams_px else None
    counted = _count(pair, boundary, seams, block_px)
    table = counted.table
    min_area_px = min_area_m2 / ground.pixel_m2
    figures: dict[Outside, Figures] = {}
    for rule in ("count",) if sparse else rules:
        matches = match(
            table, pair.predicted.segments, pair.true.segments,
            outside=rule, protocol=protocol, min_area_px=min_area_px,
        )  # fmt: skip
        figures[rule] = figures_of(pair, table, matches, categories, rule, min_area_px, seams)
    return Evaluation(
        maps=pair,
        table_of_overlaps=table,
        categories=categories,
        protocol=protocol,
        sparse=sparse,
        min_area_m2=min_area_m2,
        figures=figures,
        boundary=None if sparse else boundary,
        seams_px=seams_px,
        notes=(
            *predicted.notes,
            *true.notes,
            *ground.notes,
            *note,
            *_unreached(pair),
            *_without_class(pair),
            *_unseen(pair, table),
            *_unmapped(pair, counted),
            *_hidden(pair, counted),
            *(_few_drawn(pair, table) if "ignore" in figures and not sparse else ()),
        ),
    )


def open_map(source: Any, *, layer: str | None = None) -> MapSource:
    """A map from a path, a GeoDataFrame, or an object with ``parcels`` and ``landcover`` tables."""
    if isinstance(source, geopandas.GeoDataFrame):
        return vector_source(source, name="table")
    if hasattr(source, "parcels") and hasattr(source, "landcover"):
        return vector_source(source.parcels, source.landcover, name="result")
    path = Path(
        path_text(source, "A map", remedy="Give a file, a GeoDataFrame, or what geopanoptic.run returns.")
    )
    if not path.exists():
        raise UsageError(f"{path} does not exist.", remedy="Check the path.")
    if path.is_dir() or path.suffix.lower() in RASTER_SUFFIXES:
        return read_raster(path)
    return read_vector(path, layer=layer)


def layers_of(layer: str | None) -> tuple[str | None, str | None]:
    """Of the prediction and of the truth; one name alone is the truth's."""
    first, comma, second = (layer or "").partition(",")
    return (first or None, second or None) if comma else (None, first or None)


def _choose(asked: str, known: tuple[Outside, ...], option: str) -> tuple[Outside, ...]:
    chosen = known if asked == "both" else tuple(each for each in known if each == asked)
    if not chosen:
        raise UsageError(f"--{option} {asked!r} is not known.", remedy=f"Take {', '.join((*known, 'both'))}.")
    return chosen


def _refuse_not_positive(**values: float | None) -> None:
    for name, value in values.items():
        if value is not None and not 0 < value < math.inf:
            raise UsageError(
                f"--{name} is {value}, where a positive number is expected.",
                remedy="Leave it out, or correct it.",
            )


def _area(area: str | Path | geopandas.GeoDataFrame | None) -> geopandas.GeoDataFrame | None:
    if area is None:
        return None
    if isinstance(area, geopandas.GeoDataFrame):
        return vector_source(area, name="area").things
    return read_vector(
        Path(path_text(area, "The area", remedy="Give a vector file, or a GeoDataFrame."))
    ).things


def _columns(class_column: str | None) -> tuple[str | None, str | None]:
    if class_column is None:
        return None, None
    names = class_column.split(",")
    return (names[0], names[-1]) if len(names) <= 2 else (class_column, class_column)


def _categories(
    predicted: MapSource, true: MapSource, columns: tuple[str | None, str | None], void_class: str | None
) -> tuple[tuple[Category, ...], ClassScheme, tuple[str, ...]]:
    """The classes compared, and how each map's names stand for them.

    Land cover is compared where the truth has it and the prediction has a place for it.
    """
    ours, theirs = predicted.class_names(columns[0]), true.class_names(columns[1])
    notes: list[str] = []
    things: Mapping[str, int] | None = None
    names = [PARCEL]
    if ours.things is not None and theirs.things is not None:
        if columns[0] is not None or not (ours.things and theirs.things) or ours.things & theirs.things:
            names = sorted(ours.things | theirs.things)
            things = {name: number for number, name in enumerate(names, 1)}
            if ours.things and theirs.things and not ours.things & theirs.things:
                notes.append(
                    "The maps have no class of things in common, so nothing matches: without --class-column all "
                    "things count as one class."
                )
        else:
            notes.append("The maps have no class of things in common: all things count as one class.")
    if void_class is not None and (things is None or void_class not in (theirs.things or ())):
        raise UsageError(
            f"The truth has no class {void_class!r}.",
            remedy="Give the column of the classes with --class-column, and a name that occurs in it.",
        )
    cover: list[str] = []
    if theirs.stuff and ours.stuff is None:
        notes.append(f"{predicted.name} holds no land cover, which is not compared.")
    elif theirs.stuff:
        cover = sorted((ours.stuff or frozenset()) | theirs.stuff)
    stuff = {name: len(names) + number for number, name in enumerate(cover, 1)}
    categories = (
        *(Category(id=number, name=name, kind="thing") for number, name in enumerate(names, 1)),
        *(Category(id=number, name=name, kind="stuff") for name, number in stuff.items()),
    )
    return categories, ClassScheme(things=things, stuff=stuff), tuple(notes)


def _tolerance_px(tolerance_m: float | None, ground: Ground) -> int:
    if tolerance_m is None:
        return TOLERANCE_PX
    return max(1, round(tolerance_m / math.sqrt(ground.pixel_m2)))


def _unreached(pair: MapPair) -> tuple[str, ...]:
    notes = []
    for each, name in ((pair.predicted, pair.predicted_name), (pair.true, pair.true_name)):
        n = 0 if each.outlines is None else int(np.count_nonzero(shapely.is_empty(each.outlines)))
        if n:
            notes.append(
                f"{name}: {n} things that {pair.ground.grid.crs.name} has no place for are left out."
            )
    return tuple(notes)


def _without_class(pair: MapPair) -> tuple[str, ...]:
    notes = []
    for each, role, what in (
        (pair.true, "true", "their ground counts as unknown"),
        (pair.predicted, "predicted", "they find none of any class, and are false in none"),
    ):
        n = int(np.count_nonzero(each.segments.category[1 : each.n_things + 1] == 0))
        if n:
            notes.append(f"{n} of {each.n_things} {role} things have no class: {what}.")
    return tuple(notes)


def _unseen(pair: MapPair, table: Contingency) -> tuple[str, ...]:
    things = slice(1, pair.true.n_things + 1)
    lost = int(np.count_nonzero(table.true_px[things] == 0))
    if not lost:
        return ()
    return (
        f"{lost} of {pair.true.n_things} true things have no pixel on the common ground and take no part: they "
        "lie outside, below others, or between pixel centres.",
    )


def _unmapped(pair: MapPair, counted: Counted) -> tuple[str, ...]:
    """The rule of ``geopanoptic.change.seen``, pixel by pixel."""
    share = counted.unmapped_px / max(int(counted.table.true_px[1:-1].sum()), 1)
    if share < _TELL:
        return ()
    return (
        f"{share:.1%} of the truth's ground counts as missed where {pair.predicted_name} shows neither parcels nor land "
        "cover, as under clouds or beyond its area of interest; give --area to say which ground was mapped.",
    )


def _hidden(pair: MapPair, counted: Counted) -> tuple[str, ...]:
    """What a drawn map does not show of a list of objects that overlap each other."""
    outlines, ground = pair.predicted.outlines, pair.ground
    if outlines is None:
        return ()
    notes = []
    drawn_px = counted.table.predicted_px[1 : pair.predicted.n_things + 1]
    shapely.prepare(ground.inside)
    gone = shapely.point_on_surface(outlines[drawn_px == 0])
    lost = int(np.count_nonzero(shapely.intersects(ground.inside, gone)))
    if lost:
        notes.append(
            f"{lost} of {len(outlines)} predicted things lie on the common ground and have no pixel on it: they are below "
            "others or between pixel centres, and count neither as found nor as false."
        )
    whole = shapely.contains(ground.inside, outlines)
    whole_px = float(shapely.area(outlines[whole]).sum()) / abs(ground.grid.transform.determinant)
    share = 1 - int(drawn_px[whole].sum()) / whole_px if whole_px else 0.0
    if share >= _TELL and np.isfinite(pair.predicted.segments.score).any():
        notes.append(
            f"{share:.1%} of the predicted things' ground lies below smaller ones, whatever their scores: all figures, "
            "also the average precision, are of the map as drawn."
        )
    return tuple(notes)


def _few_drawn(pair: MapPair, table: Contingency) -> tuple[str, ...]:
    """A warning of figures that look better than they are: hardly any ground is known."""
    drawn_px = int(table.true_px[1:-1].sum())
    if drawn_px >= _FEW * int(table.predicted_px[1:].sum()):
        return ()
    return (
        f"Only {pair.true.n_things} things are drawn, on {drawn_px * pair.ground.pixel_m2 / 1e4:,.1f} ha: on the ignored ground "
        "around them no border reaches too far and no prediction is false, so these figures are upper bounds. --sparse says "
        "how well each drawn thing is met.",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Counted:
    """``unmapped_px``: of true segments, where a prediction with land cover shows nothing."""

    table: Contingency
    unmapped_px: int


def _count(pair: MapPair, boundary: BoundaryTally, seams: SeamPair | None, block_px: int) -> Counted:
    ground = pair.ground
    unmapped_px = 0
    tally = Tally(n_predicted=len(pair.predicted.segments), n_true=len(pair.true.segments))
    for core in row_blocks(ground.grid, block_px):
        window = Window(
            max(core.row0 - boundary.halo_px, 0), 0,
            min(core.row1 + boundary.halo_px, ground.grid.height), core.col1,
        )  # fmt: skip
        # What a prediction leaves out is no segment; only the truth can be unknown.
        predicted = np.maximum(pair.predicted.read(window), 0)
        true = pair.true.read(window)
        true[~ground.known(window)] = UNKNOWN
        inner = core.slices(window)
        boundary.add(predicted, true, inner)
        tally.add(predicted[inner], true[inner])
        missed = (true[inner] > 0) & (predicted[inner] == 0)
        if pair.predicted.cover is not None and missed.any():
            unmapped_px += int(np.count_nonzero(missed & ~pair.predicted.cover(core)))
        if seams is not None:
            at = {"row0": ground.row0 + core.row0, "col0": ground.col0}
            seams.predicted.add(predicted[inner], **at)
            seams.true.add(true[inner], **at)
    return Counted(table=tally.result(), unmapped_px=unmapped_px)
