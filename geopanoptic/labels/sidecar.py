"""What a format has no place for: where the images lie on the map, and which classes are things.

``labels.json`` in a data set's folder, or ``NAME.labels.json`` beside its file ``NAME.xml``::

    {"format": "geopanoptic-labels", "version": 1,
     "classes": [{"id": 1, "name": "corn", "kind": "thing", "colour": "#e6c229"}],
     "images": {"tile_0.tif": {"crs": WKT2, "transform": [a, b, c, d, e, f], "height": rows, "width": columns}}}

The transform is as ``affine.Affine`` has it, from pixel corners (column, row) to the map; null where nobody knows.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import geopandas
import numpy as np
import rasterio
import shapely
from affine import Affine
from numpy.typing import NDArray
from pydantic import ValidationError

from geopanoptic.errors import SceneError, UsageError
from geopanoptic.labels.objects import Canvas, Labels, OutlineLabels, RasterLabels
from geopanoptic.labels.taxonomy import LabelClass, Taxonomy
from geopanoptic.wording import fault

SIDECAR = "labels.json"
IMAGES = "images"  # folder of a data set that holds the images its labels are of

_FORMAT = "geopanoptic-labels"
_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sidecar:
    """Classes of a data set, and its images by name. Empty where there is no file."""

    taxonomy: Taxonomy | None = None
    images: Mapping[str, Canvas] = field(default_factory=dict)


def opened_image(path: Path) -> rasterio.DatasetReader:
    """Pictures for tools say nothing about their place, and need not. Raises as ``rasterio.open``."""
    from geopanoptic.scene.files.datasets import unplaced_is_no_news
    from geopanoptic.scene.files.formats import driver_of

    with unplaced_is_no_news():
        return rasterio.open(path, driver=driver_of(path))


def canvas_of_image(path: Path) -> Canvas:
    """The canvas of an image file: its size, and its place where it states one. Raises ``SceneError``."""
    try:
        with opened_image(path) as image:
            crs = None if image.crs is None else image.crs.to_wkt()
            placed = None if image.transform == Affine.identity() else image.transform
            return Canvas(
                image=path.name, height=image.height, width=image.width, crs_wkt=crs, transform=placed
            )
    except (rasterio.errors.RasterioError, OSError) as error:
        raise SceneError(
            f"{path} cannot be read as an image: {error}.", remedy="Give the labelled image."
        ) from None


def labelled_images(path: Path) -> list[Path]:
    """An image, or those of a folder by name, or of its ``images``. Raises ``SceneError`` for a folder without."""
    from geopanoptic.scene.files.formats import looks_like_image

    if not path.is_dir():
        return [path]
    for folder in (path, path / IMAGES):
        found = sorted(filter(looks_like_image, folder.iterdir())) if folder.is_dir() else []
        if found:
            return found
    raise SceneError(f"The folder {path} holds no image.", remedy="Give the labelled image, or its folder.")


def sidecar_of(labels: Path) -> Path:
    """The sidecar's path for a data set that is a folder or a file."""
    return labels / SIDECAR if labels.is_dir() else labels.with_suffix(f".{SIDECAR}")


def write_sidecar(taxonomy: Taxonomy, canvases: Iterable[Canvas], labels: Path) -> Path:
    """Write the sidecar of a data set that is there already; returns its path."""
    content = {
        "format": _FORMAT,
        "version": _VERSION,
        "classes": [each.model_dump() for each in taxonomy.classes],
        "images": {
            each.image: {
                "crs": each.crs_wkt,
                "transform": None if each.transform is None else list(each.transform)[:6],
                "height": each.height,
                "width": each.width,
            }
            for each in canvases
        },
    }
    path = sidecar_of(labels)
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return path


def read_sidecar(source: Path) -> Sidecar:
    """The sidecar of ``source``; an empty one where there is none. Raises ``UsageError`` for a damaged one."""
    path = sidecar_of(source)
    if source.is_file() and not path.is_file():
        path = source.parent / SIDECAR  # the file named is one of a data set in a folder
    if not path.is_file():
        return Sidecar()
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != _FORMAT or content["version"] > _VERSION:
            raise ValueError(f"format {content['format']!r}, version {content['version']!r}")
        classes = tuple(LabelClass(**each) for each in content["classes"])
        images = {name: _canvas(name, each) for name, each in content["images"].items()}
        return Sidecar(taxonomy=Taxonomy(name="labels", classes=classes) if classes else None, images=images)
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ValidationError) as error:
        raise UsageError(
            f"{path} is no sidecar of labels: {fault(error)}.",
            remedy="Remove it, or write it again with geopanoptic labels convert.",
        ) from None


def sidecar_of_images(image: str | Path | None) -> Sidecar:
    """An image file, or the images in a folder, by name; the folder's own sidecar may say their place and classes."""
    if image is None:
        return Sidecar()
    path = Path(image)
    shown = Sidecar(images={each.name: canvas_of_image(each) for each in labelled_images(path)})
    return completed(shown, read_sidecar(path)) if path.is_dir() else shown


def completed(shown: Sidecar, beside: Sidecar) -> Sidecar:
    """What is known of labelled images: those that somebody shows, and of ``beside``, what lies beside the labels, the
    classes, the other images, and the places of images that state none themselves.
    """
    images = {**beside.images, **shown.images}
    for name, image in shown.images.items():
        known = known_image(name, beside.images)
        if image.transform is None and known is not None and known.shape == image.shape:
            images[name] = replace(known, image=name)
    return Sidecar(taxonomy=beside.taxonomy or shown.taxonomy, images=images)


def _canvas(name: str, each: dict[str, Any]) -> Canvas:
    transform = each["transform"]
    return Canvas(
        image=name,
        height=int(each["height"]),
        width=int(each["width"]),
        crs_wkt=each["crs"],
        transform=None if transform is None else Affine(*map(float, transform)),
    )


def known_image(name: str, images: Mapping[str, Canvas]) -> Canvas | None:
    """The image of a name; tools move images to other folders and write them in other formats."""
    found = images.get(name) or images.get(Path(name).name)
    if found is None:
        alike = [each for key, each in images.items() if Path(key).stem == Path(name).stem]
        found = alike[0] if len(alike) == 1 else None
    return found


def placed(labels: Labels, places: Mapping[str, Canvas]) -> Labels:
    """Labels of an image without a place, brought to the place that is known for an image of that name.

    Raises ``UsageError`` where that image has another size, placed or not.
    """
    canvas = labels.canvas
    if canvas is None or canvas.transform is not None:
        return labels
    place = known_image(canvas.image, places)
    if place is None:
        return labels
    if place.shape != canvas.shape:
        # Tools show a photo as its EXIF tells to hold it; here its pixels count as they are stored.
        turned = place.shape == canvas.shape[::-1]
        raise UsageError(
            f"{canvas.image} has {canvas.height} x {canvas.width} pixels in the labels and "
            f"{place.height} x {place.width} in {SIDECAR} or the image.",
            remedy="Give the labels and the image that belong together"
            + (
                ", such as a photo that its EXIF turns as it was shown: `magick IN -auto-orient OUT`."
                if turned
                else "."
            ),
        )
    if place.transform is None:
        return labels
    if isinstance(labels, RasterLabels):
        return replace(labels, canvas=place)

    def to_map(xy: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.column_stack(place.placed @ (xy[:, 0], xy[:, 1]))  # type: ignore[operator, arg-type]

    outlines = shapely.transform(np.asarray(labels.objects.geometry.array), to_map)
    frame = geopandas.GeoDataFrame(
        labels.objects.drop(columns=labels.objects.geometry.name), geometry=outlines, crs=place.crs
    )
    return OutlineLabels(objects=frame, taxonomy=labels.taxonomy, canvas=place)
