"""What a format is to the rest of the package: a name, a way to recognise it, a reader and a writer."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from geopanoptic.labels.objects import Canvas, Labels
from geopanoptic.labels.taxonomy import Taxonomy


@dataclass(frozen=True, slots=True, kw_only=True)
class ReadOptions:
    """What is known beside the path.

    ``taxonomy`` are the classes of the sidecar or the user, for formats that do not state their own. ``images``
    are the labelled images by name. ``raw`` asks for outlines as they are in the source, nothing repaired: they may
    be missing or cross themselves, ids may repeat (0: none), ``class_name`` may be empty, and a ``kind`` that the
    source states stays a column. Checks want that; everything else relies on what ``OutlineLabels`` promises.
    ``sources`` asks for ``tiles.SOURCE_ID`` beside the objects of a map: the id that the source states, NaN where rows
    were only counted.
    """

    taxonomy: Taxonomy | None = None
    images: Mapping[str, Canvas] = field(default_factory=dict)
    layer: str | None = None
    class_column: str | None = None
    id_column: str | None = None
    raw: bool = False
    sources: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WriteOptions:
    """``images``: folder or file of the images, where a format keeps them beside the labels or inside.

    ``rle`` asks COCO instances for run lengths of pixels, which have holes, in place of polygons.
    ``image_root`` goes before the images' names where a tool looks for them (a folder, or an address).
    ``predictions`` says that the labels are a model's, for tools that show those apart from people's.
    """

    images: Path | None = None
    label_divisor: int = 1000
    rle: bool = False
    image_root: str = ""
    predictions: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Written:
    """What became of the labels: files, numbers, and in plain words what the format could not hold."""

    files: tuple[Path, ...]
    images: int
    objects: int
    losses: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class LabelSource:
    """Labels of one or many images, one after the other: memory holds one image at a time."""

    name: str
    taxonomy: Taxonomy
    images: Callable[[], Iterator[Labels]] = field(repr=False)
    """Starts again with every call; every image's labels have the source's taxonomy."""
    notes: tuple[str, ...] = ()

    def __iter__(self) -> Iterator[Labels]:
        return self.images()


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """One format.

    ``form`` is what it holds exactly. ``keeps`` names what survives beside classes: ``scores``, ``stuff``,
    ``georeference``, ``holes``, ``parts`` (several polygons per object), ``attributes``, ``overlaps``, ``ids``.
    """

    name: str
    title: str
    form: Literal["outlines", "raster"]
    images: Literal["none", "one", "many"]
    """Whether it holds a map, labels of one image, or of many."""
    keeps: frozenset[str]
    image_px: int | None = None
    """The largest side of its images, where it has one; a larger scene is cut."""
    recognises: Callable[[Path], bool]
    """Whether a file or folder is of this format, by its content rather than its name; never raises."""
    read: Callable[[Path, ReadOptions], LabelSource]
    """Raises ``UsageError`` naming file, place, what was expected and found."""
    write: Callable[[Iterable[Labels], Path, WriteOptions], Written]
    """Writes a new file or folder at a path that does not exist yet; the caller puts it in place."""
