"""One map per place: a folder of patches of PASTIS, each of which is a scene of its own."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geopanoptic.errors import OutputError, UsageError
from geopanoptic.pipeline.emission.emitting import RASTERS
from geopanoptic.pipeline.parameters import Parameters
from geopanoptic.pipeline.planning.aoi import identity_of_area
from geopanoptic.pipeline.preparing import crew_of, plan_run
from geopanoptic.pipeline.progress import Progress, Silent, WarningsOf, progress_of
from geopanoptic.pipeline.record import Record, metadata
from geopanoptic.pipeline.resuming.identity import differences
from geopanoptic.pipeline.run import run
from geopanoptic.products.commit import Commit
from geopanoptic.products.geoparquet import SUFFIX as PARQUET_SUFFIX
from geopanoptic.products.report import told_outputs
from geopanoptic.products.stac import SUFFIX as STAC_SUFFIX
from geopanoptic.products.staging import make_folder, real_target, staging_folder
from geopanoptic.products.suffixes import VECTOR_SUFFIXES
from geopanoptic.scene.containers.pastis import patches_in

_OF_ITS_PIXELS = ("valid_share", "skipped_blocks", "warnings")
"""What a map's metadata can say only once it is made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Maps:
    """``reports`` of the maps that were made, as ``Result.report``; ``kept``: how many were there already."""

    folder: Path
    reports: tuple[dict[str, Any], ...]
    kept: int


def patches_of(source: object) -> tuple[Path, ...]:
    """The patches, where a source is one folder of several; none for any other scene."""
    if not isinstance(source, str | Path) or not Path(source).is_dir():
        return ()
    patches = patches_in(Path(source))
    return tuple(patches) if len(patches) > 1 else ()


def run_each(
    patches: Sequence[Path],
    out: str | Path,
    *,
    rasters: str | Path | None = None,
    parquet: bool = False,
    stac: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | bool | None = None,
    **parameters: Any,
) -> Maps:
    """Map every patch to ``out/<name>.gpkg``, and its rasters to ``rasters/<name>``; else as ``run``, of which ``parquet``
    and ``stac`` are.

    ``resume``: maps stay that were made of the same patches with the same model and parameters. Raises as ``run``
    at the first patch that is refused, OutputError at a map of another kind without ``overwrite``, and UsageError
    where ``out`` names a file.
    """
    folder, tell, asked = Path(out), progress_of(progress), Parameters(**parameters)
    if folder.suffix.lower() in VECTOR_SUFFIXES or (folder.exists() and not folder.is_dir()):
        raise UsageError(
            f"{folder} is one file, and there are {len(patches):,} patches, each a place of its own.",
            remedy=f"Name a folder for their maps, as in --out {folder.with_name(f'{folder.stem}_maps')}.",
        )
    for needed in (folder, *([] if rasters is None else [Path(rasters)])):
        make_folder(needed, remedy="Name another folder.")
    reports: list[dict[str, Any]] = []
    with tell.stage("maps", total=len(patches), unit="patches") as stage:
        for patch in patches:
            target = folder / f"{patch.stem}.gpkg"
            its_rasters = None if rasters is None else Path(rasters) / patch.stem
            also = [
                *([] if its_rasters is None else [its_rasters / f"{name}.tif" for name in RASTERS]),
                *([target.with_suffix(PARQUET_SUFFIX)] if parquet else []),
                *([target.with_suffix(STAC_SUFFIX)] if stac else []),
            ]
            if not (resume and _is_made(target, also, patch, asked, may_replace=overwrite)):
                result = run(
                    patch,
                    target,
                    rasters=its_rasters,
                    parquet=parquet,
                    stac=stac,
                    resume=resume,
                    overwrite=overwrite,
                    progress=WarningsOf(patch.stem, tell),
                    **parameters,
                )
                reports.append(result.report)
            stage.advance(1)
    return Maps(folder=folder, reports=tuple(reports), kept=len(patches) - len(reports))


def _is_made(
    target: Path, also: Sequence[Path], patch: Path, asked: Parameters, *, may_replace: bool
) -> bool:
    """Whether the map is there that a run of the patch would make, ``also`` its further files.

    Raises OutputError, with the differences, where another one is there that may not be replaced.
    """
    if staging_folder(real_target(target)).exists():
        # A run that was killed while it put its files in place is brought to its end.
        with Commit([target], overwrite=True, resumable=True):
            pass
    if not target.is_file():
        return False
    unlike = _unlike(target, also, patch, asked)
    if unlike and not may_replace:
        raise OutputError(
            f"{target} exists already, and is another map: {'; '.join(unlike)}.",
            remedy="Add --overwrite (overwrite=True) to replace it once the new one is complete, or name another folder.",
        )
    return not unlike


def _unlike(target: Path, also: Sequence[Path], patch: Path, asked: Parameters) -> list[str]:
    """What sets a map that is there apart from the one that was asked for, in words."""
    try:
        told = json.loads(target.with_suffix(".run.json").read_text(encoding="utf-8"))
        runtime = str(told["runtime"])
    except (OSError, ValueError, KeyError, TypeError):
        return ["its run.json is missing or damaged"]
    planned = plan_run(patch, asked, crew_of(asked))
    expected = {
        **metadata(planned, asked, Record(Silent())),
        "area_of_interest_content": None if asked.aoi is None else identity_of_area(asked.aoi),
        "thresholds": planned.bundle.thresholds.model_dump(),
    }
    wanted = {key: value for key, value in expected.items() if key not in _OF_ITS_PIXELS}
    found = differences({key: told[key] for key in wanted if key in told}, json.loads(json.dumps(wanted)))
    if not (asked.precision == "auto" or f", {asked.precision} on " in runtime) or not (
        asked.runtime == "auto" or runtime.startswith(f"{asked.runtime} ")
    ):
        found.append(f"it was computed by {runtime}")
    if asked.on_error == "fail" and told.get("skipped_blocks"):
        found.append("parts of it are left out")
    made_ns = target.stat().st_mtime_ns
    if any(Path(file).stat().st_mtime_ns > made_ns for file in planned.scene.files):
        found.append("the patch has changed since")
    if missing := [each.name for each in also if not each.is_file()]:
        found.append(f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing")
    with_it = set(told.get("outputs", []))
    others = [each.name for each in also if each.is_file() and not with_it.issuperset(_told(each, target))]
    if others:
        found.append(f"{', '.join(others)} {'was' if len(others) == 1 else 'were'} not made with it")
    return found


def _told(path: Path, target: Path) -> list[str]:
    return told_outputs([path], beside=target)["outputs"]
