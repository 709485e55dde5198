"""A folder of detections: one file per tile, where the tiles lie in the scene, and what the classes are.

``tiles.json`` beside the tiles says it, with or without ``classes``::

    {"tiles": {"tile_0": {"row0": 0, "col0": 0, "height": 256, "width": 256}},
     "classes": [{"name": "parcel", "kind": "thing", "label": 1, "channel": 0},
                 {"name": "water", "kind": "stuff", "channel": 1, "colour": "#0064c8"}]}

``label`` is the detector's class number, ``channel`` the place in the semantic logits. Tiles that are not listed
lie where the GeoTIFF of the same name beside them lies. A tile has the size that the detector saw: one that was padded
reaches beyond the scene, and what it says there does not count. Without classes every label is a thing, and what lies
between is called other.
"""

from __future__ import annotations

import hashlib
import shutil
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import rasterio
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from geopanoptic import __version__
from geopanoptic.errors import UsageError
from geopanoptic.grid import Grid, Window
from geopanoptic.models.manifest import ClassName, ClassSpec
from geopanoptic.pipeline.detections.keeping import KEPT_FORMAT, keep, kept
from geopanoptic.pipeline.detections.reading import SUFFIXES, read_tile
from geopanoptic.pipeline.detections.tile import DetectedTile
from geopanoptic.wording import fault

SIDECAR = "tiles.json"

# Okabe and Ito's colours, told apart by the colour-blind.
_COLOURS = ("#e69f00", "#56b4e9", "#009e73", "#f0e442", "#0072b2", "#d55e00", "#cc79a7")
_OTHER_COLOUR = "#d0d0d0"
_SIDECAR_LIMIT_BYTES = 2**26
_MISPLACED_PX = 0.01
_MOST_CLASSES = 255


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TilePlace(_Strict):
    """Where a tile lies, in pixels of the scene."""

    row0: int
    col0: int
    height: int = Field(ge=1)
    width: int = Field(ge=1)


class DetectedClass(_Strict):
    """One class of a detector."""

    name: ClassName
    kind: Literal["thing", "stuff"]
    label: int | None = None
    channel: int | None = Field(default=None, ge=0)
    colour: str = Field(default="", pattern=r"^(#[0-9a-fA-F]{6})?$")


class TilesFile(_Strict):
    """The whole of ``tiles.json``."""

    tiles: dict[str, TilePlace] = Field(default_factory=dict)
    classes: tuple[DetectedClass, ...] = Field(default=(), max_length=255)


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectedClasses:
    """Thing and stuff classes, each in their order: detector's labels and channels of the semantic logits."""

    things: tuple[DetectedClass, ...]
    stuff: tuple[DetectedClass, ...]

    def of_map(self) -> tuple[ClassSpec, ...]:
        """The classes as the products name them, things first, ids from 1."""
        return tuple(
            ClassSpec(
                id=number,
                name=each.name,
                kind=each.kind,
                colour=each.colour or _COLOURS[(number - 1) % len(_COLOURS)],
            )
            for number, each in enumerate((*self.things, *self.stuff), 1)
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectionFolder:
    """Tiles by their place, sorted by it: picklable, and read when they are asked for.

    ``windows`` are what of their ``places`` lies in the scene. ``stamps`` tell the files' states apart. ``kept`` is a folder in which tiles are kept under them, as they were
    read the first time.
    """

    paths: tuple[Path, ...]
    places: tuple[Window, ...]
    windows: tuple[Window, ...]
    stamps: tuple[str, ...]
    kept: Path | None = None
    _bounds_4n: NDArray[np.int64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        bounds = [(each.row0, each.col0, each.row1, each.col1) for each in self.windows]
        object.__setattr__(self, "_bounds_4n", np.array(bounds, np.int64).reshape(-1, 4).T)

    def __len__(self) -> int:
        return len(self.paths)

    def read(self, number: int) -> DetectedTile:
        """One tile; the last few that were read are remembered."""
        here = None if self.kept is None else self.kept / self.stamps[number]
        return _read(self.paths[number], self.places[number], self.windows[number], here)

    def keep(self, number: int) -> None:
        """Read one tile, and keep it where tiles are kept."""
        self.read(number)

    def touching(self, window: Window) -> list[int]:
        """Numbers of the tiles that share ground with ``window``."""
        row0, col0, row1, col1 = self._bounds_4n
        shares = (row0 < window.row1) & (row1 > window.row0) & (col0 < window.col1) & (col1 > window.col0)
        return np.flatnonzero(shares).tolist()

    def shown(self, block: Window) -> NDArray[np.bool_]:
        """Which pixels of a block lie in a tile, (h, w)."""
        shown = np.zeros(block.shape, np.bool_)
        for number in self.touching(block):
            inside = self.windows[number].intersection(block)
            if inside is not None:
                shown[inside.slices(block)] = True
        return shown


def open_folder(folder: Path, grid: Grid) -> tuple[DetectionFolder, TilesFile]:
    """The tiles of a folder on a scene's grid, and what is told of them. Raises ``UsageError`` where one has no
    place."""
    told = _read_sidecar(folder / SIDECAR)
    files = sorted(
        path
        for path in folder.glob("[!.]*")
        if path.suffix.lower() in SUFFIXES and path.name != SIDECAR and path.is_file()
    )
    if not files:
        raise UsageError(
            f"{folder} holds no detections.", remedy="Give a folder of .npz or .json files, one per tile."
        )
    placed = [(_place(path, told, grid), path) for path in files]
    placed.sort(key=lambda each: (each[0].row0, each[0].col0, each[1].name))
    windows = []
    for place, path in placed:
        window = place.intersection(grid.window)
        if window is None:
            raise UsageError(
                f"{path.name} covers rows {place.row0} to {place.row1} and columns {place.col0} to "
                f"{place.col1}; the scene has {grid.height} x {grid.width} pixels.",
                remedy="Give the scene that the tiles were cut from.",
            )
        windows.append(window)
    tiles = DetectionFolder(
        paths=tuple(path for _, path in placed),
        places=tuple(place for place, _ in placed),
        windows=tuple(windows),
        stamps=tuple(
            _stamp(path, place, window) for (place, path), window in zip(placed, windows, strict=True)
        ),
    )
    return tiles, told


def _stamp(path: Path, place: Window, window: Window) -> str:
    """Another one whenever the file was written again, lies elsewhere, or another version may keep it differently."""
    state = path.stat()
    told = f"{__version__} {KEPT_FORMAT} {path.name} {state.st_size} {state.st_mtime_ns} {place} {window}"
    return hashlib.blake2b(told.encode(), digest_size=16).hexdigest()


def classes_of(told: TilesFile, tiles: DetectionFolder) -> DetectedClasses:
    """The classes that are told, else those of all labels found. Raises ``UsageError`` for what is no class."""
    things = tuple(each for each in told.classes if each.kind == "thing")
    stuff = tuple(each for each in told.classes if each.kind == "stuff")
    if not told.classes:
        found = sorted(
            {each.label for number in range(len(tiles.paths)) for each in tiles.read(number).detections}
        )
        things = tuple(
            DetectedClass(name=f"class {label}", kind="thing", label=label) for label in found
        ) or (DetectedClass(name="class 1", kind="thing", label=1),)
    if len(things) + max(len(stuff), 1) > _MOST_CLASSES:
        raise UsageError(
            f"There are {len(things)} classes of things and {len(stuff)} of stuff; a map has at most "
            f"{_MOST_CLASSES}.",
            remedy=f"Name in {SIDECAR} the classes that count.",
        )
    if not things or any(each.label is None for each in things):
        raise UsageError(
            f"{SIDECAR} names no thing class with a label.",
            remedy='Give things the detector\'s class number: {"name": "parcel", "kind": "thing", "label": 1}.',
        )
    return DetectedClasses(
        things=things, stuff=stuff or (DetectedClass(name="other", kind="stuff", colour=_OTHER_COLOUR),)
    )


def _read_sidecar(path: Path) -> TilesFile:
    if not path.is_file():
        return TilesFile()
    try:
        if path.stat().st_size > _SIDECAR_LIMIT_BYTES:
            raise UsageError(f"{path} is larger than 64 MB.", remedy="Leave out the tiles with GeoTIFFs.")
        return TilesFile.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise UsageError(f"{path}: {fault(error)}.", remedy="See geopanoptic fuse --help.") from None


def _place(path: Path, told: TilesFile, grid: Grid) -> Window:
    place = told.tiles.get(path.stem) or told.tiles.get(path.name)
    if place is not None:
        return Window(place.row0, place.col0, place.row0 + place.height, place.col0 + place.width)
    image = next((each for suffix in (".tif", ".tiff") if (each := path.with_suffix(suffix)).is_file()), None)
    if image is None:
        raise UsageError(
            f"{path.name} has no place in the scene.",
            remedy=f"List it in {SIDECAR}, or put the tile's GeoTIFF of the same name beside it.",
        )
    try:
        with rasterio.open(image, driver="GTiff") as file:
            to_scene, shape, crs = ~grid.transform @ file.transform, file.shape, file.crs
    except rasterio.errors.RasterioError as error:
        raise UsageError(f"{image} cannot be read: {error}.", remedy=f"List the tile in {SIDECAR}.") from None
    col, row = to_scene @ (0, 0)
    off = max(
        *(abs(a - b) for a, b in zip(to_scene[:6], (1, 0, round(col), 0, 1, round(row)), strict=True)), 0.0
    )
    if off > _MISPLACED_PX or crs is None or not grid.crs.is_exact_same(crs.to_wkt()):
        raise UsageError(
            f"{image.name} does not lie on the scene's pixels.",
            remedy=f"Cut the tiles from the scene itself, or list them in {SIDECAR}.",
        )
    return Window(round(row), round(col), round(row) + shape[0], round(col) + shape[1])


@lru_cache(maxsize=16)
def _read(path: Path, place: Window, window: Window, here: Path | None) -> DetectedTile:
    if here is None:
        return read_tile(path, place).within(window)
    found = kept(here, window)
    if found is None:
        shutil.rmtree(here, ignore_errors=True)
        tile = read_tile(path, place).within(window)
        keep(tile, here)
        # As it is kept, its semantic logits take no memory.
        found = kept(here, window) or tile
    return found
