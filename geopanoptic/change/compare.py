"""``geopanoptic.compare``: what became of each parcel between two maps."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import geopandas
import pandas as pd

from geopanoptic.change.ground import changed_ground
from geopanoptic.change.identity import stable_ids
from geopanoptic.change.layers import CHANGES, LANDCOVER, LINKS, PARCELS, UNSEEN_PARCELS, write_comparison
from geopanoptic.change.lineage import trace_lineage, with_outside, with_same
from geopanoptic.change.overlaps import find_overlaps
from geopanoptic.change.parcelmap import NEXT_ID, read_parcels
from geopanoptic.change.plane import common_plane
from geopanoptic.change.report import report_of
from geopanoptic.change.tables import (
    Compared,
    change_table,
    landcover_table,
    link_table,
    parcel_table,
    unseen_table,
)
from geopanoptic.errors import UsageError
from geopanoptic.products.commit import Commit
from geopanoptic.products.geopackage import verify_geopackage
from geopanoptic.products.report import peak_memory_bytes, versions, write_run_report
from geopanoptic.products.suffixes import require_vector_suffix

TOLERANCE_M = 20.0
"""Maps from Sentinel-2: each outline is good to about one pixel of 10 m, so the strip between two drawings of
one boundary is up to two wide; two dates are registered to each other within 5 m for 95 % of the images (ESA,
Sentinel-2 MSI L1C Data Quality Report). For official parcels 1 to 3 m suit: the JRC allows 1.25 m along the
outline of a measured parcel."""


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Comparison:
    """``parcels``: the later map with stable ids and kinds; ``changes``: ground that changed; ``links``: who
    became whom; for the next year ``landcover`` and ``unseen``, earlier parcels that the later map could not show
    (columns: ``geopanoptic.change.layers``); ``report``: counts and areas by kind, what was assumed and left out;
    ``out``: the GeoPackage, where one was written."""

    parcels: geopandas.GeoDataFrame
    changes: geopandas.GeoDataFrame
    links: pd.DataFrame
    landcover: geopandas.GeoDataFrame
    unseen: geopandas.GeoDataFrame
    report: dict[str, Any]
    out: Path | None

    def __repr__(self) -> str:
        counts = ", ".join(f"{count:,} {kind}" for kind, count in self.report["later"].items() if count)
        gone = self.report["earlier"]["gone"]
        return f"<Comparison: {counts or 'no parcels'}; {gone:,} gone>"


def compare(
    earlier: Any,
    later: Any,
    out: str | Path | None = None,
    *,
    tolerance_m: float = TOLERANCE_M,
    id_column: str | None = None,
    class_column: str | None = None,
    layer: str | None = None,
    overwrite: bool = False,
) -> Comparison:
    """Trace every parcel of one map into a later one, and carry its id on.

    Parcels are linked where at least half of one lies in the other; what is linked, directly or over others,
    is one event: same, moved, split, merged, rearranged; what is not is new or gone. Ids go on along the
    one-to-one pairing with the largest sum of IoU (``geopanoptic.change.lineage``).

    Parameters
    ----------
    earlier, later
        A vector file of any kind, a GeoDataFrame, or what ``geopanoptic.run`` returns, each in any CRS.
        What this function returned or wrote serves as the earlier map of the next year: parcels that were not
        seen keep their ids.
    out
        GeoPackage to write, with the layers ``parcels``, ``changes`` and ``links``, and, for the next year,
        ``landcover`` and ``unseen`` (parcels that the later map could not show); a report in JSON
        (``.run.json``) is put beside it.
    tolerance_m
        Ground nowhere wider than this did not change: the slivers of a shifted or redrawn boundary.
    id_column, class_column, layer
        Columns of ids (default ``parcel_id``) and classes (``class_name``) and the layer, of both maps or as
        ``"earlier,later"``.
    overwrite
        Replace an existing output, once the new one is complete and verified.

    Raises
    ------
    UsageError
        A map cannot be read, lacks CRS, polygons or column, has an id twice, or the maps do not overlap.
    OutputError, LockedError
        The output exists, cannot be written, or is being written.
    """
    if not tolerance_m >= 0:
        raise UsageError(
            f"--tolerance is {tolerance_m}, where metres from 0 are expected.", remedy="Correct it."
        )
    target = None if out is None else Path(out)
    if target is None:
        found = _find(earlier, later, tolerance_m, id_column, class_column, layer)
        return _result(found, tolerance_m, None)
    require_vector_suffix(target)
    report = target.with_suffix(".run.json")
    inputs = [Path(each) for each in (earlier, later) if isinstance(each, str | Path)]
    with Commit([target, report], overwrite=overwrite, inputs=inputs) as commit:
        found = _find(earlier, later, tolerance_m, id_column, class_column, layer)
        result = _result(found, tolerance_m, target)
        write_comparison(
            commit.staged(target),
            parcels=result.parcels,
            changes=result.changes,
            links=result.links,
            landcover=result.landcover,
            unseen=result.unseen,
            id_type="int64" if found.ids.dtype.kind == "i" else "str",
            metadata={key: result.report[key] for key in ("maps", "tolerance_m", "notes", NEXT_ID)},
        )
        told = {**result.report, "peak_memory_bytes": peak_memory_bytes(), "versions": versions()}
        write_run_report(commit.staged(report), told)
        features = {
            PARCELS.name: len(result.parcels), CHANGES.name: len(result.changes), LINKS.name: len(result.links),
            LANDCOVER.name: len(result.landcover), UNSEEN_PARCELS.name: len(result.unseen),
        }  # fmt: skip
        commit.publish({target: partial(verify_geopackage, **features)})
    return result


def _find(
    earlier: Any, later: Any, tolerance_m: float, id_column: str | None, class_column: str | None,
    layer: str | None,
) -> Compared:  # fmt: skip
    columns = [_both(each) for each in (id_column, class_column, layer)]
    before, after = (
        read_parcels(
            source,
            id_column=columns[0][at],
            class_column=columns[1][at],
            layer=columns[2][at],
            with_unseen=at == 0,
        )
        for at, source in enumerate((earlier, later))
    )
    before, after, plane = common_plane(before, after)
    overlaps = find_overlaps(plane.earlier, plane.later, tolerance_m=tolerance_m)
    lineage = with_outside(trace_lineage(overlaps), plane)
    carries = lineage.carries
    ground = changed_ground(
        plane.earlier, plane.later, overlaps, carries=carries, tolerance_m=tolerance_m
    ).seen_by_both(plane)
    changed = partial(
        ground.changed, plane=plane, overlaps=overlaps, carries=carries, tolerance_m=tolerance_m
    )
    lineage = with_same(lineage, overlaps, earlier_changed=changed("earlier"), later_changed=changed("later"))
    ids = stable_ids(before, len(after), overlaps, lineage)
    return Compared(
        earlier=before,
        later=after,
        plane=plane,
        overlaps=overlaps,
        lineage=lineage,
        ids=ids.ids,
        next_id=ids.next_id,
        ground=ground,
    )


def _both(names: str | None) -> tuple[str | None, str | None]:
    if names is None:
        return None, None
    first, comma, second = names.partition(",")
    return first, second if comma else first


def _result(found: Compared, tolerance_m: float, out: Path | None) -> Comparison:
    changes = change_table(found)
    return Comparison(
        parcels=parcel_table(found),
        changes=changes,
        links=link_table(found),
        landcover=landcover_table(found),
        unseen=unseen_table(found),
        report=report_of(found, changes, tolerance_m=tolerance_m),
        out=out,
    )
