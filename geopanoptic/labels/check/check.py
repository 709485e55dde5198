"""``labels check``: every check on every image, in one report."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import geopandas
import pyproj
import shapely

from geopanoptic.errors import UsageError
from geopanoptic.labels.check.cover import (
    WHOLLY,
    outside_image,
    unlabelled_ground,
    unlabelled_share,
    without_data,
)
from geopanoptic.labels.check.identity import classes, ids, stuff_ids
from geopanoptic.labels.check.issue import KINDS, Issue
from geopanoptic.labels.check.outlines import invalid_outlines, slivers
from geopanoptic.labels.check.picture import Picture
from geopanoptic.labels.check.prediction import disagreements, modelled_labels, predicted_labels
from geopanoptic.labels.check.reading import Source, UnreadableLabelsError
from geopanoptic.labels.check.report import ImageFigures, Report
from geopanoptic.labels.check.shift import shifts
from geopanoptic.labels.check.subject import Limits, Subject
from geopanoptic.labels.check.topology import gaps, overlaps
from geopanoptic.labels.objects import Labels
from geopanoptic.labels.taxonomy import Taxonomy


def check(
    source: str | Path,
    *,
    source_format: str | None = None,
    image: str | Path | None = None,
    model: str | Path | None = None,
    bands: str | None = None,
    pixel_size: float | str = "auto",
    against: str | Path | None = None,
    taxonomy: str | Path | None = None,
    full: bool = False,
    layer: str | None = None,
    class_column: str | None = None,
    id_column: str | None = None,
    limits: Limits | None = None,
) -> Report:
    """Look for defects in labels of any format that can be read.

    Parameters
    ----------
    source
        A file or folder of labels, checked as it is, before anything is repaired.
    image
        The labelled image, or for labels of several images their folder: for labels outside, without data, unlabelled, shifted.
    model, bands, pixel_size
        A model's name or bundle, run on the image; the image's bands where it does not name them; and the pixel that
        the model is shown, as for ``run``.
    against
        Predictions of the same image, in any format that can be read, instead of a model.
    taxonomy
        The classes that there may be, a name or a YAML file.
    full
        The labels are said to cover the image: unlabelled ground is an error.
    limits
        What counts as a defect.

    Raises
    ------
    UsageError, SceneError
        Labels of no known format, images that do not belong to them. Single images of a data set that cannot be
        read are issues of kind ``unreadable``.
    ModelError
        The model does not fit the image.
    """
    if model is not None and against is not None:
        raise UsageError("Both a model and predictions were given.", remedy="Give one of them.")
    if model is not None and image is None:
        raise UsageError("A model needs the image.", remedy="Name it with --image.")
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
    figures: list[ImageFigures] = []
    issues: list[Issue] = []
    outlines: list[shapely.Geometry] = []
    crs = None
    try:
        for subject, picture in opened.subjects():
            crs = crs or subject.frame.crs
            predicted = _predicted_for(
                subject, picture, model=model, bands=bands, pixel_size=pixel_size, against=against
            )
            found, measured = _examine(subject, picture, opened.allowed, predicted, full=full)
            figures.append(measured)
            places = _in_crs([each.geometry for each in found], subject, crs)
            issues += [
                replace(each, image=subject.name, geometry=place)
                for each, place in zip(found, places, strict=True)
            ]
            outlines += _in_crs(list(subject.outlines), subject, crs)
    except UnreadableLabelsError as error:
        issues.append(Issue(kind="unreadable", severity="error", message=str(error)))
    issues += _nothing_to_see(source, figures, issues, with_image=image is not None)
    rank = {kind: number for number, kind in enumerate(KINDS)}
    return Report(
        source=str(source),
        format=opened.format.name,
        images=tuple(figures),
        issues=tuple(sorted(issues, key=lambda each: (each.image, rank[each.kind]))),
        crs_wkt=None if crs is None else crs.to_wkt(),
        outlines=tuple(outlines),
    )


def _nothing_to_see(
    source: str | Path, figures: Sequence[ImageFigures], issues: Sequence[Issue], *, with_image: bool
) -> list[Issue]:
    """An error where nothing was checked: labels that are empty, or that lie elsewhere."""
    n_objects = sum(each.objects for each in figures)
    n_beyond = sum(each.kind == "outside-image" and each.amount > WHOLLY for each in issues)
    if n_beyond < n_objects or any(each.kind == "unreadable" for each in issues):
        return []
    where = "on the image" if with_image else f"in {Path(source).name}"
    what = f"None of the {n_objects} objects lies" if n_objects else "There are no labels"
    return [Issue(kind="no-labels", severity="error", message=f"{what} {where}.")]


def _examine(
    subject: Subject,
    picture: Picture | None,
    allowed: Taxonomy | None,
    predicted: Labels | None,
    *,
    full: bool,
) -> tuple[list[Issue], ImageFigures]:
    issues = [
        *invalid_outlines(subject),
        *slivers(subject),
        *overlaps(subject),
        *gaps(subject),
        *ids(subject),
        *stuff_ids(subject),
        *classes(subject, allowed),
        *outside_image(subject),
    ]
    figures = ImageFigures(
        name=subject.name,
        objects=len(subject.ids),
        tolerance=subject.tolerance,
        sliver_width=subject.sliver_width,
        gap_area=subject.gap_area,
        unit=subject.unit,
        metres=subject.metres,
    )
    if full and subject.canvas is None:
        raise UsageError("Without an image nobody knows what --full covers.", remedy="Name it with --image.")
    if subject.canvas is not None:
        valid_hw = None if picture is None else picture.valid_hw()
        figures = replace(figures, unlabelled=unlabelled_share(subject, valid_hw))
        issues += [] if valid_hw is None else without_data(subject, valid_hw)
        issues += unlabelled_ground(subject, valid_hw) if full else []
    if picture is not None:
        offset, found = shifts(subject, picture.edges_hw())
        figures = replace(figures, offset=None if offset is None else offset.to_dict())
        issues += found
    if predicted is not None:
        compared, found = disagreements(subject, predicted)
        figures = replace(figures, pixel_difference=compared.overall)
        issues += found
    return issues, figures


def _predicted_for(
    subject: Subject,
    picture: Picture | None,
    *,
    model: str | Path | None,
    bands: str | None,
    pixel_size: float | str,
    against: str | Path | None,
) -> Labels | None:
    if against is not None:
        return predicted_labels(Path(against), subject.name)
    if model is not None and picture is not None:
        return modelled_labels(picture.path, model, bands, pixel_size)
    return None


def _in_crs(
    shapes: list[shapely.Geometry | None], subject: Subject, crs: pyproj.CRS | None
) -> list[shapely.Geometry | None]:
    """Geometries of one image in the CRS of the report."""
    own = subject.frame.crs
    if own is None or crs is None or own == crs:
        return shapes
    return list(geopandas.GeoSeries(shapes, crs=own).to_crs(crs))
