"""Labels of any format as they are, image by image, ready to be checked."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from geopanoptic.errors import UsageError
from geopanoptic.labels.check.picture import Picture, pictures_of
from geopanoptic.labels.check.subject import Limits, Subject
from geopanoptic.labels.formats.format import Format, LabelSource, ReadOptions
from geopanoptic.labels.formats.registry import format_named, recognise
from geopanoptic.labels.objects import Canvas, Labels
from geopanoptic.labels.sidecar import Sidecar, completed, known_image, placed, read_sidecar
from geopanoptic.labels.taxonomy import Taxonomy, load_taxonomy
from geopanoptic.scene.files.sources import named_files


class UnreadableLabelsError(UsageError):
    """Labels of an image that cannot be read although the data set can: a defect, rather than a wrong argument."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Source:
    """What to read: a path, its format and what is known beside it."""

    path: Path
    format: Format
    options: ReadOptions
    pictures: dict[str, Picture]
    allowed: Taxonomy | None
    """The classes that there may be; None: any."""
    limits: Limits

    @classmethod
    def of(
        cls,
        source: str | Path,
        *,
        source_format: str | None = None,
        image: str | Path | None = None,
        taxonomy: str | Path | None = None,
        layer: str | None = None,
        class_column: str | None = None,
        id_column: str | None = None,
        limits: Limits | None = None,
    ) -> Source:
        """Raises ``UsageError`` for labels of no known format, ``SceneError`` for images that cannot be read."""
        path = Path(source)
        pictures = pictures_of(None if image is None else Path(image))
        allowed = None if taxonomy is None else load_taxonomy(taxonomy)
        known = completed(
            Sidecar(images={name: each.canvas for name, each in pictures.items()}), read_sidecar(path)
        )
        return cls(
            path=path,
            format=format_named(source_format) if source_format is not None else recognise(path),
            options=ReadOptions(
                taxonomy=known.taxonomy or allowed,
                images=known.images,
                layer=layer,
                class_column=class_column,
                id_column=id_column,
                raw=True,
            ),
            pictures={name: replace(each, canvas=known.images[name]) for name, each in pictures.items()},
            allowed=allowed,
            limits=limits or Limits(),
        )

    def subjects(self) -> Iterator[tuple[Subject, Picture | None]]:
        """The labels of each image with its picture, where there is one; one image is in memory at a time.

        Raises ``UnreadableLabelsError`` where the labels of an image cannot be read, ``UsageError`` where an image
        has another size than its labels say, and where none of the images is that of any labels.
        """
        source = self.format.read(self.path, self.options)
        seen: list[bool] = []
        only = next(iter(self.pictures.values())) if len(self.pictures) == 1 else None
        for labels in _readable(source):
            put = placed(labels, self.options.images)
            picture = only if put.canvas is None else self._picture_of(put.canvas)
            if picture is None and self.format.images != "many":
                picture = only
            seen.append(picture is not None)
            if self.format.images != "many":
                self._refuse_unseen(seen)
            canvas = put.canvas or (None if picture is None else picture.canvas)
            if picture is not None and canvas is not None and self.format.form == "outlines":
                canvas = picture.canvas
            if picture is not None and canvas is not None and canvas.shape != picture.canvas.shape:
                raise UsageError(
                    f"The labels are {canvas.height} x {canvas.width} pixels and {picture.path} is "
                    f"{picture.canvas.height} x {picture.canvas.width}.",
                    remedy="Give the image that belongs to the labels.",
                )
            subject = Subject.of(
                put,
                name=self.path.name if canvas is None else canvas.image,
                canvas=canvas,
                one_image=self.format.images == "many",
                limits=self.limits,
            )
            yield subject, picture
        self._refuse_unseen(seen)

    def _refuse_unseen(self, seen: Sequence[bool]) -> None:
        if self.pictures and seen and not any(seen):
            raise UsageError(
                f"None of the images given, {named_files(self.pictures)}, is known to be that of {self.path.name}.",
                remedy="Name the one image that the labels lie on with --image. A model's map of a scene of several "
                "files, by `geopanoptic run`, is compared with --against.",
            )

    def _picture_of(self, canvas: Canvas) -> Picture | None:
        known = known_image(canvas.image, {name: each.canvas for name, each in self.pictures.items()})
        return None if known is None else self.pictures[known.image]


def _readable(source: LabelSource) -> Iterator[Labels]:
    try:
        yield from source
    except UsageError as error:
        raise UnreadableLabelsError(error.message, remedy=error.remedy) from None
