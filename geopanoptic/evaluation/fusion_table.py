"""What each rule of fusion gives on a labelled scene: the network runs once, its layers are fused by every rule.

The maps are those of ``geopanoptic run --fusion RULE``, byte for byte, and the figures those of ``geopanoptic
evaluate`` of them. The best of several rules is chosen on the truth that it was scored with: confirm it on another.
"""

from __future__ import annotations

import html
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from geopanoptic.errors import OutputError, UsageError
from geopanoptic.evaluation.evaluate import evaluate, layers_of, open_map
from geopanoptic.evaluation.evaluation import OUTSIDE_IN_WORDS, Evaluation, json_text
from geopanoptic.panoptic.fusion.rules import FUSION_RULES, fusion_named
from geopanoptic.pipeline.progress import Progress
from geopanoptic.pipeline.run import run
from geopanoptic.products.writing import writing
from geopanoptic.scene import Scene, as_scene

ALL = "all"
WORK = "work"


@dataclass(frozen=True, slots=True, kw_only=True)
class FusionTable:
    """The evaluation of a scene's map by every rule, in the order that was asked for."""

    scene: str
    model: str
    evaluations: Mapping[str, Evaluation]

    def table(self) -> pd.DataFrame:
        """One row per rule, and per way to count ground without a true segment.

        Columns: ``fusion``, ``outside``; ``pq``, ``sq``, ``rq``, ``covering``, ``ap`` as means of the classes of
        things, ``pq_all`` of all classes (none of these with sparse truth); ``parcels``, ``recall``,
        ``mean_best_iou``, ``splits``, ``merges`` of all things.
        """
        return pd.DataFrame([row for rule, each in self.evaluations.items() for row in _rows(rule, each)])

    def to_dict(self) -> dict[str, Any]:
        """Everything, as JSON has it."""
        return {
            "scene": self.scene,
            "model": self.model,
            "fusion": {rule: each.to_dict() for rule, each in self.evaluations.items()},
        }

    def to_json(self, path: str | Path | None = None) -> str:
        """JSON text, also written to ``path`` where one is given; OutputError where that fails."""
        return json_text(self.to_dict(), path)

    def __str__(self) -> str:
        first = next(iter(self.evaluations.values()))
        shown = self.table().rename(columns=_HEADINGS)
        notes = dict.fromkeys(note for each in self.evaluations.values() for note in each.notes)
        lines = [
            f"{self.scene} by {self.model} against {first.maps.true_name}",
            "",
            shown.to_string(index=False, float_format="{:.3f}".format, na_rep="-"),
            *(f"note: {note}" for note in notes),
        ]
        return "\n".join(lines)

    def _repr_html_(self) -> str:
        return f"<pre>{html.escape(str(self))}</pre>"


def evaluate_fusions(
    scene: Scene | str | Path | Sequence[str | Path],
    truth: Any,
    fusion: str | Sequence[str] = ALL,
    *,
    maps: str | Path | None = None,
    model: str | Path | None = None,
    device: str = "auto",
    pixel_size: float | str = "auto",
    scene_options: Mapping[str, Any] | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
    **options: Any,
) -> FusionTable:
    """Map a scene by every rule of ``fusion`` and compare each map with the truth.

    Parameters
    ----------
    scene
        What ``open_scene`` takes with ``scene_options``, or a ``Scene``.
    fusion
        Names of rules, also in one text by commas, or ``all``.
    maps
        Folder to keep the maps in, ``deeplab.gpkg`` and so on, and to work in; nothing is kept without it.
    model, device, pixel_size
        As for ``run``.
    options
        Of ``evaluate``.

    Raises ``UsageError`` for a rule that there is not, ``OutputError`` where one of ``maps`` exists, and what ``run`` and ``evaluate`` raise.
    """
    rules = _rules(fusion)
    for out in () if maps is None else [Path(maps) / f"{rule}.gpkg" for rule in rules]:
        if out.exists() and not overwrite:
            raise OutputError(
                f"{out} exists.", remedy="Name another folder, or give --overwrite (overwrite=True)."
            )
    open_map(truth, layer=layers_of(options.get("layer"))[1])  # refused now rather than after the run
    opened = as_scene(scene, **(scene_options or {}))
    evaluations: dict[str, Evaluation] = {}
    mapped_by = ""
    with _folder(maps) as folder, tempfile.TemporaryDirectory(prefix=".fusion-", dir=folder) as hidden:
        for rule in rules:
            out = folder / f"{rule}.gpkg"
            if progress is not None:
                progress.note(f"{rule}:")
            # One kept run: what the network said is there when the second rule resumes it.
            told = run(
                opened,
                out,
                work=Path(hidden) / WORK,
                keep_work=True,
                resume=bool(evaluations),
                fusion=rule,
                model=model,
                device=device,
                pixel_size=pixel_size,
                overwrite=overwrite,
                progress=progress,
            ).report
            mapped_by = str(told["model"])
            evaluations[rule] = evaluate(out, truth, **options)
    return FusionTable(scene=opened.name, model=mapped_by, evaluations=evaluations)


_HEADINGS = {
    "outside": "unlabelled ground",
    "pq": "PQ",
    "sq": "SQ",
    "rq": "RQ",
    "covering": "PC",
    "ap": "AP",
    "pq_all": "PQ all",
    "mean_best_iou": "best IoU",
}


def _rules(fusion: str | Sequence[str]) -> list[str]:
    asked = fusion.split(",") if isinstance(fusion, str) else list(fusion)
    named = [name.strip() for name in asked if name.strip()]
    if named == [ALL]:
        return list(FUSION_RULES)
    if not named:
        raise UsageError(
            "No rule of fusion is named.", remedy=f"Name some of {', '.join(FUSION_RULES)}, or {ALL}."
        )
    return list(dict.fromkeys(fusion_named(name).name for name in named))


@contextmanager
def _folder(maps: str | Path | None) -> Iterator[Path]:
    if maps is None:
        with tempfile.TemporaryDirectory(prefix="geopanoptic-") as folder:
            yield Path(folder)
        return
    with writing(Path(maps)):
        Path(maps).mkdir(parents=True, exist_ok=True)
    yield Path(maps)


def _rows(rule: str, evaluation: Evaluation) -> Iterator[dict[str, object]]:
    for outside, figures in evaluation.figures.items():
        row: dict[str, object] = {"fusion": rule}
        if not evaluation.sparse:
            things = figures.mean("things")
            row |= {"outside": OUTSIDE_IN_WORDS[outside]}
            row |= {name: things[name] for name in ("pq", "sq", "rq", "covering", "ap")}
            row |= {"pq_all": figures.mean("all")["pq"]}
        objects = figures.objects
        yield row | {
            "parcels": objects.predicted,
            "recall": objects.recall,
            "mean_best_iou": objects.mean_best_iou,
            "splits": len(objects.errors.splits),
            "merges": len(objects.errors.merges),
        }
