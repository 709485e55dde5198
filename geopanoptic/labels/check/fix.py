"""``labels check --fix``: labels repaired into a new file of the same format, see ``repairing``."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from geopanoptic.errors import UsageError
from geopanoptic.labels.check.reading import Source
from geopanoptic.labels.check.repairing import Change, repair
from geopanoptic.labels.check.subject import Limits, Subject
from geopanoptic.labels.formats.format import WriteOptions
from geopanoptic.labels.objects import OutlineLabels
from geopanoptic.labels.output import staged_output
from geopanoptic.labels.provenance.history import history, moment, record
from geopanoptic.labels.sidecar import write_sidecar
from geopanoptic.products.geopackage import fixed_clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Fixed:
    """What was repaired, and where the result is."""

    files: tuple[Path, ...]
    objects: int
    changes: tuple[Change, ...]
    losses: tuple[str, ...] = ()

    def by_kind(self) -> dict[str, int]:
        counts = pd.Series([each.kind for each in self.changes], dtype=object).value_counts(sort=False)
        return {str(kind): int(count) for kind, count in counts.items()}

    def to_dict(self) -> dict[str, Any]:
        """JSON-ready values."""
        return {
            "files": [str(file) for file in self.files],
            "objects": self.objects,
            "changed": self.by_kind(),
            "changes": [each.to_dict() for each in self.changes],
            "losses": list(self.losses),
        }


def fix(
    source: str | Path,
    target: str | Path,
    *,
    priority: Sequence[str] = (),
    overwrite: bool = False,
    source_format: str | None = None,
    image: str | Path | None = None,
    taxonomy: str | Path | None = None,
    layer: str | None = None,
    class_column: str | None = None,
    id_column: str | None = None,
    limits: Limits | None = None,
    annotator: str = "",
) -> Fixed:
    """Repair the labels ``source`` into ``target``, in the same format.

    ``priority`` are the classes that keep ground which several objects claim, first to last; ``annotator``
    is who answers for the labels, for their history; the others are as for
    :func:`geopanoptic.labels.check.check.check`.

    Raises ``UsageError`` for rasters (a pixel belongs to one object there, so there is nothing to repair) and for
    classes in ``priority`` that the labels do not have; ``OutputError`` where ``target`` exists and ``overwrite`` is
    not set, or cannot be written. An existing one is untouched then.
    """
    target = Path(target)
    opened = Source.of(
        source,
        source_format=source_format,
        image=image,
        taxonomy=taxonomy,
        layer=layer,
        class_column=class_column,
        id_column=id_column,
        limits=limits,
    )
    if opened.format.form == "raster":
        raise UsageError(
            f"{source} is a raster of labels ({opened.format.name}): nothing in it can be repaired safely.",
            remedy="Correct the defects by hand, or convert to gpkg first.",
        )
    changes: list[Change] = []
    drawn: list[OutlineLabels] = []

    def repaired() -> Iterator[OutlineLabels]:
        for subject, _ in opened.subjects():
            _refuse_unknown(priority, subject)
            labels = repair(subject, priority, changes)
            drawn.append(labels)
            yield labels

    when, parents = moment(), [history(opened.path)]
    with staged_output(target, overwrite=overwrite) as staged, fixed_clock(when):
        written = opened.format.write(repaired(), staged, WriteOptions())
        files = list(written.files)
        canvases = [each.canvas for each in drawn if each.canvas is not None]
        if opened.format.images != "none" and canvases:
            files.append(write_sidecar(drawn[0].taxonomy, canvases, staged))
        fixed = Fixed(
            files=tuple(target.parent / file.relative_to(staged.parent) for file in files),
            objects=written.objects,
            changes=tuple(changes),
            losses=written.losses,
        )
        done = ", ".join(f"{count:,} {kind}" for kind, count in fixed.by_kind().items()) or "nothing to do"
        record(
            staged,
            files,
            action=f"repaired: {done}",
            source=opened.path.name,
            parents=parents,
            annotator=annotator,
            when=when,
        )
    return fixed


def _refuse_unknown(priority: Sequence[str], subject: Subject) -> None:
    known = sorted({each.name for each in subject.taxonomy.classes} | set(subject.classes.tolist()))
    unknown = [name for name in priority if name not in known]
    if unknown:
        raise UsageError(
            f"--priority names {unknown[0]!r}, which the labels do not have.",
            remedy=f"Their classes: {', '.join(known[:20])}.",
        )
