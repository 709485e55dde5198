"""``geopanoptic.stats``: every parcel's values per date, band and index."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pandas as pd
import pyarrow
import shapely
from numpy.typing import NDArray

from geopanoptic.arguments import options_of
from geopanoptic.change.parcelmap import ParcelMap, read_parcels
from geopanoptic.errors import UsageError
from geopanoptic.evaluation.maps.labelmap import outline_of
from geopanoptic.pipeline.progress import Progress, progress_of
from geopanoptic.products.commit import Commit
from geopanoptic.reprojection import place_of
from geopanoptic.scene import OnUnreadable, Scene, UnreadableBlock, as_scene, open_scene
from geopanoptic.scene.files.blocks import refuse
from geopanoptic.statistics.grouping import Group, gather, groups, in_pixels
from geopanoptic.statistics.indices import Index, choose_indices, reflectance_of_one
from geopanoptic.statistics.summary import STATISTICS, summarise
from geopanoptic.statistics.tables import (
    Layout,
    RowsInMemory,
    TableWriter,
    open_table,
    read_table,
    require_table_suffix,
    verify_table,
)

VALID_SHARE = "valid_share"
_MAIN = ("mean", "median", "std")


@dataclass(frozen=True, kw_only=True)
class Statistics:
    """``report``: parcels, rows, dates, bands, formulas, notes; ``out``: the table's file, where one was
    written."""

    report: dict[str, Any]
    out: Path | None
    schema: pyarrow.Schema
    rows: pyarrow.Table | None

    @cached_property
    def table(self) -> pd.DataFrame:
        """The table: parcel_id, date, band, mean, median, std, (min, max,) valid_share; or wide."""
        rows = read_table(self.out, self.schema) if self.rows is None and self.out else self.rows
        return pd.DataFrame() if rows is None else rows.to_pandas(date_as_object=False)

    def __repr__(self) -> str:
        return f"<Statistics: {self.report['parcels']:,} parcels, {self.report['rows']:,} rows>"


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """What is computed: the parcels of ``parcels`` on every date of ``scene``."""

    parcels: ParcelMap
    scene: Scene
    bands: tuple[str, ...]
    """Bands to read: those of the table and those that an index needs."""
    shown: tuple[str, ...]
    indices: tuple[Index, ...]
    one: float
    statistics: tuple[str, ...]
    notes: tuple[str, ...]

    def layout(self, *, wide: bool) -> Layout:
        as_number = self.parcels.ids.dtype.kind == "i"
        return Layout(
            id_type=pyarrow.int64() if as_number else pyarrow.string(),
            dates=self.scene.dates,
            bands=(*self.shown, *(each.name for each in self.indices)),
            statistics=(*self.statistics, VALID_SHARE),
            wide=wide,
        )


@options_of(open_scene)
def stats(
    parcels: Any,
    scene: Any,
    out: str | Path | None = None,
    *,
    indices: str | Sequence[str] = (),
    only_indices: bool = False,
    extremes: bool = False,
    wide: bool = False,
    id_column: str | None = None,
    layer: str | None = None,
    on_error: Literal["fail", "skip"] = "fail",
    overwrite: bool = False,
    progress: Progress | bool | None = None,
    **scene_options: Any,
) -> Statistics:
    """Figures of every parcel per date, band and index.

    Each pixel counts with the share of it that the parcel covers, exactly; pixels without data and clouded
    ones do not count. Indices are taken pixel by pixel, before any mean. ``valid_share`` is the share of the
    parcel's area whose value counted.

    Parameters
    ----------
    parcels
        A vector file, a GeoDataFrame, or what ``geopanoptic.run`` returns, in any CRS.
    scene
        What ``open_scene`` takes, or a ``Scene``; its dates are read one at a time, each once per window.
    out
        ``.parquet`` or ``.csv``; without it the table stays in memory.
    indices
        Names of ``geopanoptic.statistics.indices.INDICES``, a list or comma separated, or ``all``.
    only_indices
        Leave out the bands themselves.
    extremes
        Also least and greatest value.
    wide
        One row per parcel, with columns like ``ndvi_mean_20210615``.
    id_column, layer
        Column of the parcels' ids (default ``parcel_id``, else row numbers), and layer.
    on_error
        ``skip`` takes blocks that cannot be decoded as pixels without data, leaves out dates that cannot be
        opened, and lists both in the report.
    scene_options
        Options of ``open_scene``; none where ``scene`` is open already.

    Raises
    ------
    UsageError
        Parcels cannot be read, miss the scene, or an index is unknown or lacks a band.
    SceneError, OutputError, LockedError
        As ``open_scene``; the output exists, cannot be written, or is being written.
    """
    target = None if out is None else Path(out)
    if target is not None:
        require_table_suffix(target)
    opened = as_scene(scene, on_error=on_error, **scene_options)
    task = _prepare(parcels, opened, indices, only_indices, extremes, id_column, layer)
    layout, told = task.layout(wide=wide), progress_of(progress)
    for note in task.notes:
        told.note(note)
    for warning in opened.warnings:
        told.warn(warning)
    skipped: list[UnreadableBlock] = []
    on_block = refuse if on_error == "fail" else _collect(skipped)
    if target is None:
        rows = RowsInMemory(layout.schema)
        report = _compute(task, layout, rows, on_block, told)
        return Statistics(
            report=_with_skipped(report, skipped), out=None, schema=layout.schema, rows=rows.table()
        )
    inputs = [Path(each) for each in (parcels,) if isinstance(each, str | Path)]
    inputs += [each for each in task.scene.files if isinstance(each, Path)]
    with Commit([target], overwrite=overwrite, inputs=inputs) as commit:
        staged = commit.staged(target)
        facts = {"indices": json.dumps({each.name: each.formula for each in task.indices})}
        with _closing(open_table(staged, layout, facts)) as writer:
            report = _compute(task, layout, writer, on_block, told)
        commit.publish({target: partial(verify_table, rows=report["rows"])})
    return Statistics(report=_with_skipped(report, skipped), out=target, schema=layout.schema, rows=None)


def _prepare(
    parcels: Any, opened: Scene, indices: str | Sequence[str], only_indices: bool, extremes: bool,
    id_column: str | None, layer: str | None,
) -> Task:  # fmt: skip
    chosen = choose_indices(indices, opened.bands)
    if only_indices and not chosen:
        raise UsageError("--only-indices is given without --index.", remedy="Name one, as in --index ndvi.")
    shown = () if only_indices else opened.bands
    one, notes = reflectance_of_one(opened, chosen)
    found = read_parcels(parcels, id_column=id_column, layer=layer)
    if not len(found):
        raise UsageError(
            f"{found.name} has no parcels, so there is nothing to measure.",
            remedy="Give a map with at least one, or another --layer.",
        )
    return Task(
        parcels=found,
        scene=opened,
        bands=tuple(dict.fromkeys([*shown, *(band for each in chosen for band in each.bands)])),
        shown=shown,
        indices=chosen,
        one=one,
        statistics=STATISTICS if extremes else _MAIN,
        notes=(*found.notes, *opened.notes, *notes),
    )


def _compute(
    task: Task, layout: Layout, writer: TableWriter, on_unreadable: OnUnreadable, progress: Progress
) -> dict[str, Any]:
    polygons = in_pixels(task.parcels.polygons, task.parcels.crs, task.scene.grid)
    dates = task.scene.single_dates()
    n_rows = n_found = 0
    with progress.stage("parcels", total=len(polygons) * len(dates), unit="parcels") as stage:
        for group in groups(polygons, task.scene.grid):
            figures = np.empty((len(dates), len(layout.bands), len(layout.statistics), len(group.rows)))
            for when, scene in enumerate(dates):
                figures[when] = _figures(task, scene, group, on_unreadable)
                stage.advance(len(group.rows))
            rows = layout.rows(task.parcels.ids[group.rows], figures)
            writer.write_table(rows)
            n_rows, n_found = n_rows + rows.num_rows, n_found + len(group.rows)
    unreached = int(np.count_nonzero(shapely.is_empty(polygons)))
    if not n_found:
        raise _apart(task, unreached)
    beyond = len(polygons) - n_found - unreached
    notes = [f"{beyond} parcels lie outside the scene and are left out."] if beyond else []
    if unreached:
        notes.append(
            f"{unreached} parcels reach beyond the ground that the projection of {task.scene.name} has a place for, and "
            "are left out."
        )
    for note in notes:
        progress.warn(note)
    return {
        "parcels": n_found,
        "rows": n_rows,
        "dates": [when and when.isoformat() for when in task.scene.dates],
        "bands": list(layout.bands),
        "indices": {each.name: {"formula": each.formula, "source": each.source} for each in task.indices},
        "notes": [*task.notes, *notes],
        "warnings": list(task.scene.warnings),
        "left_out_dates": [each.to_json() for each in task.scene.left_out],
    }


def _apart(task: Task, unreached: int) -> UsageError:
    parcels, grid = task.parcels, task.scene.grid
    outline = np.array([outline_of(grid)], dtype=object)
    here, there = place_of(parcels.polygons, parcels.crs), place_of(outline, grid.crs)
    return UsageError(
        f"No parcel of {parcels.name} touches {task.scene.name}: they lie at {here}, the scene at {there}"
        + (f"; {unreached} reach beyond what its projection has a place for." if unreached else "."),
        remedy="Give the scene of their ground, or correct the CRS that is wrong.",
    )


def _figures(task: Task, scene: Scene, group: Group, on_unreadable: OnUnreadable) -> NDArray[np.float64]:
    """(bands and indices, statistics, n) of one date."""
    # A date may lack a band that others have: no figures of it.
    present = [band for band in task.bands if band in scene.bands] or scene.bands[:1]
    values, valid = gather(scene, group.cells, present, on_unreadable)
    weights = np.where(valid, group.cells.share, 0.0)
    absent = np.full(valid.shape, np.nan, np.float32)
    bands = dict.fromkeys(task.bands, absent) | dict(zip(present, values, strict=True))
    planes = [*(bands[name] for name in task.shown), *(index(bands, one=task.one) for index in task.indices)]
    found = np.stack([summarise(plane, weights, group.cells.starts) for plane in planes])
    # A whole parcel's share is one, not one but for the rounding of its sum.
    share = np.round(found[:, -1:] / group.size_px, 9)
    return np.concatenate([found[:, : len(task.statistics)], share], axis=1)


def _collect(skipped: list[UnreadableBlock]) -> OnUnreadable:
    def note(block: UnreadableBlock) -> None:
        if block not in skipped:
            skipped.append(block)

    return note


def _with_skipped(report: dict[str, Any], skipped: Sequence[UnreadableBlock]) -> dict[str, Any]:
    return {**report, "skipped_blocks": [each.to_json() for each in skipped]}


@contextmanager
def _closing(writer: TableWriter) -> Iterator[TableWriter]:
    try:
        yield writer
    finally:
        writer.close()
