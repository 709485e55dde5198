"""One annotator's labels as they come back from a tool."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pandas as pd
import shapely

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import ReadOptions
from geopanoptic.labels.formats.registry import recognise
from geopanoptic.labels.objects import Canvas, OutlineLabels, as_outlines
from geopanoptic.labels.provenance.manifest import PROVENANCE
from geopanoptic.labels.sidecar import SIDECAR, Sidecar, completed, placed, read_sidecar
from geopanoptic.labels.tasks.task_file import TASK, Task, read_task
from geopanoptic.labels.tiles import SOURCE_ID, canvas_outline

_NO_LABELS = {TASK, SIDECAR, PROVENANCE, "label-studio.xml", "cvat-labels.json"}


@dataclass(frozen=True, slots=True, kw_only=True)
class PartLabels:
    """``images`` hold the labels image by image on the map, or one map without images.

    ``lacking`` are images that the task went out with and the labels do not mention. ``notes`` is what was decided
    when they were read, in words.
    """

    name: str
    task: Task | None
    images: tuple[OutlineLabels, ...]
    lacking: tuple[Canvas, ...]
    notes: tuple[str, ...] = ()

    @property
    def tiles(self) -> dict[str, Canvas]:
        """The part's images by name; empty for a map."""
        return {each.canvas.image: each.canvas for each in self.images if each.canvas is not None}

    @property
    def ground(self) -> shapely.Geometry | None:
        """What the part's images show; None for a map, which may lie anywhere."""
        if not self.tiles:
            return None
        return shapely.union_all([canvas_outline(each) for each in self.tiles.values()])

    @property
    def told_ids(self) -> frozenset[int]:
        """Ids that the objects went out with; those drawn since have none."""
        return frozenset(number for each in self.images for number in told_ids(each) if number > 0)


def read_part(path: Path, shown: Sidecar) -> PartLabels:
    """Read a file or folder of labels, or a part's folder that holds just one.

    ``shown`` are the labelled images and their classes, see ``completed``. Raises
    ``UsageError`` for what cannot be read, and for images without a place.
    """
    task = read_task(path)
    labels = _labels_in(path) if path.is_dir() and (path / TASK).is_file() else path
    found = recognise(labels)
    beside = read_sidecar(labels)
    known = completed(shown, beside)
    source = found.read(labels, ReadOptions(taxonomy=known.taxonomy, images=known.images, sources=True))
    outlines = tuple(as_outlines(placed(each, known.images)) for each in source)
    for each in outlines:
        if each.objects.crs is None and each.canvas is not None and each.canvas.transform is None:
            raise UsageError(
                f"{labels}: nothing says where {each.canvas.image} lies.",
                remedy=f"Put the {SIDECAR} of the task beside it, or name the folder of images with --image.",
            )
    mentioned = {each.canvas.image for each in outlines if each.canvas is not None}
    expected = beside.images.values() if task is not None and mentioned else ()
    return PartLabels(
        name=task.part if task is not None else path.stem,
        task=task,
        images=outlines,
        lacking=tuple(each for each in expected if each.image not in mentioned),
        notes=source.notes,
    )


def _labels_in(folder: Path) -> Path:
    files = sorted(each for each in folder.iterdir() if _may_be_labels(each.name))
    if len(files) == 1:
        return files[0]
    names = ", ".join(each.name for each in files) or "none"
    raise UsageError(
        f"{folder} holds {len(files)} files of labels: {names}.",
        remedy="Name the one that counts instead of the folder.",
    )


def _may_be_labels(name: str) -> bool:
    return name not in _NO_LABELS and not name.endswith(f".{PROVENANCE}") and not name.startswith(".")


def told_ids(labels: OutlineLabels) -> list[int]:
    """For every object the id that it went out with; 0 for those drawn since."""
    frame = labels.objects
    ids = pd.to_numeric(frame[SOURCE_ID if SOURCE_ID in frame else "object_id"], errors="coerce")
    return ids.fillna(0).astype(int).tolist()
