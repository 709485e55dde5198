"""Labels against a model's map of the same image: objects and classes that the two do not agree on."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import shapely
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.labels.check.issue import Issue
from geopanoptic.labels.check.subject import Subject
from geopanoptic.labels.formats.format import ReadOptions
from geopanoptic.labels.formats.registry import format_named, recognise
from geopanoptic.labels.objects import Labels, RasterLabels
from geopanoptic.labels.sidecar import known_image, placed, read_sidecar

_UNLABELLED = 0.9


@dataclass(frozen=True, slots=True, kw_only=True)
class Disagreement:
    """How far labels and prediction agree.

    Per object with pixels (k,): ``rows``; the best IoU with a predicted object; the share of its pixels that the
    prediction gives to another object, class or kind, ``pixel_difference``. Over all labelled pixels that were
    predicted: ``overall``.
    """

    rows: NDArray[np.int64]
    best_iou: NDArray[np.float64]
    pixel_difference: NDArray[np.float64]
    overall: float


def predicted_labels(path: Path, image_name: str) -> Labels:
    """The labels of an image in a file or data set of predictions.

    Raises ``UsageError`` where it cannot be read or knows nothing of the image.
    """
    beside = read_sidecar(path)
    source = recognise(path).read(path, ReadOptions(taxonomy=beside.taxonomy, images=beside.images))
    every = [placed(each, beside.images) for each in source]
    if len(every) == 1:
        return every[0]
    named = {each.canvas.image: each for each in every if each.canvas is not None}
    key = known_image(image_name, {name: each.canvas for name, each in named.items() if each.canvas})
    if key is None:
        raise UsageError(
            f"{path} has no prediction for {image_name}.", remedy="Give the predictions of these images."
        )
    return named[key.image]


def modelled_labels(
    image: Path, model: str | Path, bands: str | None = None, pixel_size: float | str = "auto"
) -> Labels:
    """What a model makes of an image, by the pipeline; raises as :func:`geopanoptic.pipeline.run.run`."""
    from geopanoptic.pipeline.run import run

    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "predicted.gpkg"
        run(image, out, model=model, bands=bands, pixel_size=pixel_size)
        return next(iter(format_named("gpkg").read(out, ReadOptions())))


def disagreements(subject: Subject, predicted: Labels) -> tuple[Disagreement, list[Issue]]:
    """Compare pixel by pixel on the image, and say which objects differ."""
    drawn = Subject.of(
        predicted,
        name="prediction",
        canvas=subject.canvas or predicted.canvas,
        one_image=False,
        limits=subject.limits,
    )
    if isinstance(predicted, RasterLabels) and predicted.canvas.shape != subject.rows_hw.shape:
        raise UsageError(
            f"The prediction has {predicted.canvas.height} x {predicted.canvas.width} pixels, the image of the "
            f"labels {subject.rows_hw.shape[0]} x {subject.rows_hw.shape[1]}.",
            remedy="Give a prediction of the same image, or as polygons on the map.",
        )
    pairs = _Pairs.of(subject, drawn)
    found = _Judged.of(subject, drawn, pairs, _of_same_class(subject, drawn, pairs))
    issues = [
        *_missed(subject, found),
        *_other_class(subject, drawn, found),
        *_added(subject, drawn),
    ]
    return found.disagreement, issues


@dataclass(frozen=True, slots=True, kw_only=True)
class _Pairs:
    """Rows of labels and of the prediction that share pixels, (p,)."""

    label_row: NDArray[np.int64]
    predicted_row: NDArray[np.int64]
    pixels: NDArray[np.int64]

    @classmethod
    def of(cls, labels: Subject, predicted: Subject) -> _Pairs:
        both = (labels.rows_hw > 0) & (predicted.rows_hw > 0)
        n = len(predicted.ids) + 1
        code, pixels = np.unique(
            labels.rows_hw[both].astype(np.int64) * n + predicted.rows_hw[both], return_counts=True
        )
        return cls(label_row=code // n - 1, predicted_row=code % n - 1, pixels=pixels)


def _of_same_class(labels: Subject, predicted: Subject, pairs: _Pairs) -> NDArray[np.bool_]:
    """(p,) whether classes agree: by name where the prediction knows the label's class, else by kind."""
    known = np.isin(labels.classes.astype(str), sorted({each.name for each in predicted.taxonomy.classes}))[
        pairs.label_row
    ]
    names = labels.classes[pairs.label_row] == predicted.classes[pairs.predicted_row]
    kinds = labels.is_stuff[pairs.label_row] == predicted.is_stuff[pairs.predicted_row]
    return np.asarray(np.where(known, names, kinds), np.bool_)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Judged:
    disagreement: Disagreement
    best_predicted: NDArray[np.int64]
    """Row of the predicted object with the best IoU, -1 for none."""
    other_class: NDArray[np.float64]
    """Share of the object's pixels that are predicted to be of another class or kind."""

    @classmethod
    def of(cls, labels: Subject, predicted: Subject, pairs: _Pairs, same: NDArray[np.bool_]) -> _Judged:
        n = len(labels.ids)
        size = np.bincount(labels.rows_hw.ravel(), minlength=n + 1)[1:].astype(np.float64)
        of_predicted = np.bincount(predicted.rows_hw.ravel(), minlength=len(predicted.ids) + 1)[1:]
        iou = pairs.pixels / (size[pairs.label_row] + of_predicted[pairs.predicted_row] - pairs.pixels)
        things = ~labels.is_stuff[pairs.label_row] & ~predicted.is_stuff[pairs.predicted_row]
        order = np.lexsort((pairs.predicted_row, -np.where(things, iou, -1.0), pairs.label_row))
        first = order[np.flatnonzero(np.diff(pairs.label_row[order], prepend=-1))]
        best_iou, best = np.zeros(n), np.full(n, -1)
        matched = first[things[first]]
        best_iou[pairs.label_row[matched]] = iou[matched]
        best[pairs.label_row[matched]] = pairs.predicted_row[matched]
        # A thing's pixels agree where they are of its best match, an area of stuff's where the class is.
        agrees = np.where(
            labels.is_stuff[pairs.label_row], same, same & (best[pairs.label_row] == pairs.predicted_row)
        )
        agreed = np.bincount(pairs.label_row, pairs.pixels * agrees, minlength=n)
        other = np.bincount(pairs.label_row, pairs.pixels * ~same, minlength=n)
        rows = np.flatnonzero(size > 0)
        seen = float(pairs.pixels.sum())
        return cls(
            disagreement=Disagreement(
                rows=rows,
                best_iou=best_iou[rows],
                pixel_difference=1 - agreed[rows] / size[rows],
                overall=float(1 - (pairs.pixels * agrees).sum() / seen) if seen else float("nan"),
            ),
            best_predicted=best,
            other_class=np.divide(other, size, out=np.zeros(n), where=size > 0),
        )


def _missed(subject: Subject, found: _Judged) -> Iterator[Issue]:
    compared = found.disagreement
    poor = (compared.best_iou < subject.limits.agreement) & ~subject.is_stuff[compared.rows]
    for k in np.flatnonzero(poor)[np.argsort(compared.best_iou[poor], kind="stable")].tolist():
        row = int(compared.rows[k])
        yield Issue(
            kind="model-misses",
            severity="warning",
            message=f"Object {subject.ids[row]}: best IoU with a predicted object {compared.best_iou[k]:.2f}, "
            f"{compared.pixel_difference[k]:.0%} of its pixels differ.",
            object_ids=subject.ids_of([row]),
            geometry=subject.outlines[row],
            amount=float(compared.best_iou[k]),
        )


def _other_class(subject: Subject, predicted: Subject, found: _Judged) -> Iterator[Issue]:
    rows = np.flatnonzero(found.other_class > 0.5)
    for row in rows[np.argsort(-found.other_class[rows], kind="stable")].tolist():
        best = int(found.best_predicted[row])
        named = f", mostly {predicted.classes[best]!r}" if best >= 0 else ""
        yield Issue(
            kind="model-class",
            severity="warning",
            message=f"Object {subject.ids[row]} is {subject.classes[row]!r}; the model sees something else on "
            f"{found.other_class[row]:.0%} of it{named}.",
            object_ids=subject.ids_of([row]),
            geometry=subject.outlines[row],
            amount=float(found.other_class[row]),
        )


def _added(subject: Subject, predicted: Subject) -> Iterator[Issue]:
    """Predicted things on ground without labels."""
    n = len(predicted.ids)
    size = np.bincount(predicted.rows_hw.ravel(), minlength=n + 1)[1:]
    bare = np.bincount(predicted.rows_hw[subject.rows_hw == 0], minlength=n + 1)[1:]
    share = np.divide(bare, size, out=np.zeros(n), where=size > 0)
    scores = predicted.frame["score"].to_numpy(np.float64)
    for row in np.flatnonzero((share > _UNLABELLED) & ~predicted.is_stuff).tolist():
        told = "" if np.isnan(scores[row]) else f", score {scores[row]:.2f}"
        yield Issue(
            kind="model-adds",
            severity="warning",
            message=f"The model sees a {predicted.classes[row]!r} on {size[row]:,} pixels{told}, and no label is there.",
            geometry=_in_labels(subject, predicted, row),
            amount=float(share[row]),
        )


def _in_labels(subject: Subject, predicted: Subject, row: int) -> shapely.Geometry:
    outline = predicted.frame.geometry.iloc[[row]]
    if outline.crs is not None and subject.frame.crs is not None and outline.crs != subject.frame.crs:
        outline = outline.to_crs(subject.frame.crs)
    return outline.iloc[0]
