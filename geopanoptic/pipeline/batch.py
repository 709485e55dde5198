"""One map per place: a folder of patches of PASTIS, each of which is a scene of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geopanoptic.errors import OutputError, UsageError
from geopanoptic.pipeline.progress import Progress, Silent
from geopanoptic.pipeline.run import run
from geopanoptic.scene.pastis import patches_in


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
    resume: bool = False,
    overwrite: bool = False,
    progress: Progress | None = None,
    **parameters: Any,
) -> Maps:
    """Map every patch to ``out/<name>.gpkg``, and its rasters to ``rasters/<name>``; else as ``run``.

    ``resume``: maps that are there are complete, and stay. Raises as ``run`` at the first patch that is refused,
    and UsageError where ``out`` names a file.
    """
    folder, tell = Path(out), progress or Silent()
    if folder.suffix or (folder.exists() and not folder.is_dir()):
        raise UsageError(
            f"{folder} is one file, and there are {len(patches):,} patches, each a place of its own.",
            remedy=f"Name a folder for their maps, as in --out {folder.with_suffix('')}.",
        )
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(
            f"{folder} cannot be made: {error.strerror}.", remedy="Name another folder."
        ) from None
    reports: list[dict[str, Any]] = []
    with tell.stage("maps", total=len(patches), unit="patches") as stage:
        for patch in patches:
            target = folder / f"{patch.stem}.gpkg"
            if not (resume and target.is_file()):
                result = run(
                    patch,
                    target,
                    rasters=None if rasters is None else Path(rasters) / patch.stem,
                    resume=resume,
                    overwrite=overwrite,
                    **parameters,
                )
                reports.append(result.report)
            stage.advance(1)
    return Maps(folder=folder, reports=tuple(reports), kept=len(patches) - len(reports))
