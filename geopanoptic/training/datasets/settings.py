"""What a configuration says of each kind of data."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from geopanoptic.strict import StrictModel
from geopanoptic.training.pastis.folds import Part
from geopanoptic.training.synthetic.characters import CHARACTERS

Share = Annotated[float, Field(gt=0)]
PixelSize = Annotated[float, Field(ge=1, le=30)]
Unit = Annotated[float, Field(ge=0, le=1)]


class GeneratedData(StrictModel):
    """Fresh scenes from ``training.synthetic``, drawn while the run goes on."""

    kind: Literal["generated"]
    share: Share = 1.0
    scene_px: int = Field(default=288, ge=64)
    crops_per_scene: int = Field(default=16, ge=1)
    """Samples of the run, of whatever kind, until the oldest scene gives way to a new one."""
    seed: int = Field(default=0, ge=0)
    """Runs with one seed see the same scenes; give validation another one."""
    pixel_size_m: tuple[PixelSize, ...] = Field(default=(10.0,), min_length=1)
    """Each scene has one of them."""
    characters: tuple[str, ...] = ()
    """Kinds of country, of which each scene has one; by default any."""
    outlines: tuple[Path, ...] = ()
    """Files of real parcels, as ``synthesize`` takes them; each scene has the geometry of one. They take the place of
    ``characters``."""
    alike_edges: tuple[Unit, Unit] = (1.0, 1.0)
    """Range of the share of borders between neighbours that look alike on which a furrow shows."""

    @model_validator(mode="after")
    def _has_one_geometry(self) -> Self:
        unknown = [name for name in self.characters if name not in CHARACTERS]
        if unknown:
            raise ValueError(f"there is no character {unknown[0]!r}, only {', '.join(CHARACTERS)}")
        if self.characters and self.outlines:
            raise ValueError("give either characters or outlines")
        if self.alike_edges[0] > self.alike_edges[1]:
            raise ValueError("alike_edges is a range: the smaller one first")
        return self


class PoolData(StrictModel):
    """A folder of ``.npz`` samples as ``training.samples`` writes them."""

    kind: Literal["pool"]
    share: Share = 1.0
    folder: Path


class SeasonPoolData(StrictModel):
    """A folder of ``.npz`` series as ``training.samples.season_crops`` writes them."""

    kind: Literal["season_pool"]
    share: Share = 1.0
    folder: Path


class VectorData(StrictModel):
    """A scene and polygons of its parcels."""

    kind: Literal["vectors"]
    share: Share = 1.0
    scene: str | tuple[str, ...]
    labels: Path
    layer: str | None = None
    """Of the labels; None: ``parcels``, else the first of polygons."""
    known: Literal["sparse", "full"] = "sparse"
    """sparse: ground outside the polygons is unknown. full: every parcel inside their bounding box is drawn."""
    bands: str | None = None
    dates: str | None = None
    assume_crs: str | None = None
    pixel_m: float | None = Field(default=None, gt=0)
    """Scenes of finer pixels are averaged to about this size; None: they are read as stored."""
    folds: int = Field(default=4, ge=2)
    fold: int | None = Field(default=None, ge=0)
    """The fold that is held out; None: no part is."""
    part: Literal["training", "held-out"] = "training"
    block_m: float | None = Field(default=None, gt=0)
    """Side of the square blocks that go to one fold as a whole; None: 64 scene pixels, or fewer where the fields
    lie close together."""
    dealt: tuple[int, ...] | None = None
    """The fold of every field that was dealt together with those of other files, in the file's order, -1 of those that take
    no part; None: the fields of this file are dealt by themselves."""

    @model_validator(mode="after")
    def _fold_exists(self) -> Self:
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold is {self.fold} and counts from 0 to folds - 1 = {self.folds - 1}")
        if self.fold is None and self.part == "held-out":
            raise ValueError("part held-out needs a fold")
        return self


class CocoData(StrictModel):
    """COCO panoptic: a JSON file, a folder of PNG with ids, a folder of images."""

    kind: Literal["coco"]
    share: Share = 1.0
    annotations: Path
    panoptic: Path
    images: Path
    bands: str = "red,green,blue"
    """What the images' bands are, in their order, as in ``run --bands``: '-' leaves one out."""
    classes: dict[str, str] = Field(default_factory=dict)
    """Category name -> class name, where they differ. Categories without a class teach no class."""


class PastisData(StrictModel):
    """A folder of the PASTIS data set: whole seasons of the patches of some folds.

    All patches are normalised by the mean and deviation of the experiment's training folds, and the bundle
    carries these ranges.
    """

    kind: Literal["pastis"]
    share: Share = 1.0
    folder: Path
    fold: int = Field(default=1, ge=1, le=5)
    """Number of the official experiment: 1 trains on folds 1, 2, 3, is chosen by 4 and tested on 5, and so on."""
    part: Part = "training"
    radar: tuple[Literal["S1A", "S1D"], ...] = ()
    """Sentinel-1 orbits of PASTIS-R, ascending and descending: dates with the bands vv, vh, vv_vh alone."""


DataSettings = Annotated[
    GeneratedData | PoolData | SeasonPoolData | VectorData | CocoData | PastisData,
    Field(discriminator="kind"),
]
