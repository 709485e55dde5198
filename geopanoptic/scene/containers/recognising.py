"""Recognises what holds a scene together: Sentinel-2 products, STAC documents, cubes and PASTIS patches.

By content, never by a name alone: a product folder by its metadata file, a cube by its first bytes or its store's
metadata, STAC by its JSON, a patch by NumPy's magic bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path

from geopanoptic.errors import SceneError
from geopanoptic.scene.bands.filenames import date_of
from geopanoptic.scene.containers.contents import Contents, meant_by, together, with_bands
from geopanoptic.scene.containers.pastis import is_patch, patches_in, read_patch
from geopanoptic.scene.containers.safe import check_levels, metadata_in, products_in, read_product
from geopanoptic.scene.containers.stac import date_of_item, read_item
from geopanoptic.scene.containers.stac_links import Place, is_stac, items_of, place_of
from geopanoptic.scene.files.cube_file import engine_of
from geopanoptic.scene.files.documents import read_json
from geopanoptic.scene.files.formats import looks_like_image
from geopanoptic.scene.files.sources import files_in, folders_in, is_file, is_folder, shown, without_secrets

_CATALOGUES = ("catalog.json", "collection.json")
_JSON = (".json", ".geojson")


@dataclass(frozen=True, slots=True, kw_only=True)
class Opening:
    """How containers are opened.

    ``words``: names of the bands to keep (None: all), or for a cube without names those of its bands.
    """

    words: tuple[str, ...] | None = None
    assume_crs: str | None = None
    allow_remote: bool = False

    @property
    def only(self) -> frozenset[str] | None:
        """The canonical bands to keep; None: all."""
        return None if self.words is None else frozenset(filter(None, meant_by(self.words).values()))


@dataclass(frozen=True, slots=True, kw_only=True)
class _Container:
    """One that bands are read from; ``date`` None where only reading it tells, or it has several."""

    date: date | None
    read: Callable[[], Contents]


def read_containers(
    paths: Sequence[Path | str],
    how: Opening,
    *,
    may_fail: Callable[[date], bool] = lambda _: False,
) -> tuple[Contents, dict[date, SceneError]] | None:
    """What the containers hold that the paths are, or that one folder holds; None where they are images.

    ``may_fail``: of which dates a container that cannot be read is left out, and told of by its date.

    Raises SceneError as the readers do, where none can be read, and where images and containers come together.
    """
    found = [list(_containers(path, how)) for path in paths]
    if not any(found):
        return None
    if not all(found):
        plain = paths[[bool(each) for each in found].index(False)]
        raise SceneError(
            f"{shown(without_secrets(str(plain)))} is no product, cube or STAC document as the others are.",
            remedy="Give containers only, or images only.",
        )
    check_levels([path for path in paths if isinstance(path, Path)])
    parts: list[Contents] = []
    failed: dict[date, SceneError] = {}
    for container in (each for containers in found for each in containers):
        try:
            parts.append(container.read())
        except SceneError as error:
            if container.date is None or not may_fail(container.date):
                raise
            failed.setdefault(container.date, error)
    if not parts:
        raise next(iter(failed.values()))
    contents = together(parts, name=_name(paths, parts))
    return (contents if how.words is None else with_bands(contents, how.words)), failed


def _name(paths: Sequence[Path | str], parts: Sequence[Contents]) -> str:
    if len(parts) == 1:
        return parts[0].name
    folder = paths[0] if len(paths) == 1 else None
    if isinstance(folder, Path) and is_folder(folder):
        return shown(folder.resolve().name)
    # Whatever order they are given in: the name stands in the map.
    return f"{min(part.name for part in parts)} and {len(parts) - 1} more"


def _containers(path: Path | str, how: Opening) -> Iterator[_Container]:
    if isinstance(path, str):
        if without_secrets(path).lower().endswith(_JSON):
            yield from _stac(place_of(path, allow_remote=how.allow_remote), how)
    elif metadata_in(path):
        yield _product(path, how)
    elif engine_of(path):
        yield _cube(path, how)
    elif is_folder(path):
        yield from _in_folder(path, how)
    elif is_patch(path):
        yield _Container(date=None, read=partial(read_patch, path))
    elif path.suffix.lower() in _JSON and is_file(path):
        yield from _stac(place_of(path, allow_remote=how.allow_remote), how)


def _in_folder(folder: Path, how: Opening) -> Iterator[_Container]:
    """The products in a folder; else, where it holds no image itself, its cubes; else its STAC documents, or those in
    folders of their own beside the folders of their images.

    Raises SceneError for a folder of patches: each is a place of its own.
    """
    if products := products_in(folder):
        check_levels(products)
        yield from (_product(path, how) for path in products)
        return
    files = files_in(folder)
    if any(map(looks_like_image, files)):
        return
    if cubes := [path for path in files if engine_of(path)]:
        yield from (_cube(path, how) for path in cubes)
        return
    if patches := patches_in(folder):
        if len(patches) > 1:
            raise SceneError(
                f"{shown(folder)} holds {len(patches):,} patches of PASTIS, each a place of its own.",
                remedy=f"Give one, such as {shown(patches[0])}; geopanoptic run maps them all where --out names a "
                "folder.",
            )
        yield _Container(date=None, read=partial(read_patch, patches[0]))
        return
    documents = _documents_among(files) or [
        document
        for each in map(files_in, folders_in(folder))
        if not any(map(looks_like_image, each))
        for document in _documents_among(each)
    ]
    catalogues = [path for path in documents if path.name.lower() in _CATALOGUES]
    for path in catalogues[:1] or documents:
        yield from _stac(place_of(path, root=folder.resolve(), allow_remote=how.allow_remote), how)


def _documents_among(files: Sequence[Path]) -> list[Path]:
    return [path for path in files if path.suffix.lower() in _JSON and _is_stac(path)]


def _is_stac(path: Path) -> bool:
    try:
        return is_stac(read_json(path))
    except SceneError:
        return False


def _product(path: Path, how: Opening) -> _Container:
    folder = path if is_folder(path) else path.parent
    return _Container(date=date_of(folder.name), read=partial(read_product, path, only=how.only))


def _cube(path: Path, how: Opening) -> _Container:
    # xarray takes a second to import, and most scenes need none of it.
    def read() -> Contents:
        from geopanoptic.scene.containers.cubes import read_cube

        return read_cube(path, words=how.words, assume_crs=how.assume_crs)

    return _Container(date=None, read=read)


def _stac(place: Place, how: Opening) -> Iterator[_Container]:
    for item in items_of(place):
        yield _Container(date=date_of_item(item), read=partial(read_item, item, only=how.only))
