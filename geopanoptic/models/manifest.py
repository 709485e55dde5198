"""``bundle.json``: what a model bundle says of itself, checked key by key."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from geopanoptic.strict import StrictModel

FORMAT_VERSION = 1
WEIGHTS_FILE = "model.safetensors"
GROUPING_FILE = "grouping.json"

PAPS_BOX_PX = 256
"""Longest side of a parcel's box by the heads of PaPs, in output pixels: that of a whole patch of PASTIS."""

KINDS_COARSER = 2
"""Pixels of input along a pixel's side where kinds are told by their season: a quarter of the work and half the noise."""
KIND_PARTS = 8
"""Parts of the year, which overlap, of each of which the mean reflectance is kept for that."""

Architecture = Literal["PanopticUNet", "PanopticUNetSeries"]
Probability = Annotated[float, Field(ge=0, le=1)]
Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
ClassName = Annotated[str, Field(min_length=1, max_length=64, pattern=r"^[^\x00-\x1f\x7f\ufffe\uffff]*$")]
"""For people. Without the control characters that a map's style, which is XML, cannot hold."""


class ClassSpec(StrictModel):
    """One class of the map; its place in the list is its channel in the network's output."""

    id: int = Field(ge=1, le=255)
    name: ClassName
    kind: Literal["thing", "stuff"]
    colour: str = Field(pattern=r"^#[0-9a-fA-F]{6}$")
    open_ground: bool = False
    """Stuff that a field may be drawn as where no parcel of it is sure enough."""

    @model_validator(mode="after")
    def _is_stuff_where_it_is_open_ground(self) -> Self:
        if self.open_ground and self.kind == "thing":
            raise ValueError("open_ground is for classes of kind stuff")
        return self


def channels_of(classes: Sequence[ClassSpec], kind: Literal["thing", "stuff"]) -> tuple[int, ...]:
    """Semantic channels of one kind of class, in the order of ``classes``."""
    return tuple(channel for channel, each in enumerate(classes) if each.kind == kind)


Bands = Annotated[tuple[Name, ...], Field(min_length=1, max_length=64)]
Classes = Annotated[tuple[ClassSpec, ...], Field(min_length=2, max_length=255)]


class Thresholds(StrictModel):
    """How the dense outputs become parcels; tuned on validation data, overridable at run time.

    centre
        Least heat of a centre.
    centre_radius_px
        A centre is the strict maximum within this many output pixels.
    field
        Least thing probability of a pixel that may belong to a parcel.
    merge_boundary
        Neighbouring regions with a mean boundary below this merge.
    drop_field
        Regions with a mean thing probability below this become stuff.
    relief_boundary_weight
        Share w of the boundary in the watershed's relief, ``w * boundary + (1 - w) * (1 - distance)``.
    """

    centre: Probability = 0.3
    centre_radius_px: int = Field(default=3, ge=1, le=64)
    field: Probability = 0.5
    merge_boundary: Probability = 0.3
    drop_field: Probability = 0.5
    relief_boundary_weight: Probability = 0.3


class TemporalSettings(StrictModel):
    """What ``PanopticUNetSeries`` has beyond ``PanopticUNet``.

    heads
        Groups of channels, each with weights of its own for the dates.
    key_channels
        Width of what a head compares with its learned query.
    harmonics
        Sine and cosine of this many parts of the year encode the day.
    kinds
        The first so many classes, which are all the things, are told apart by each pixel's season
        (``geopanoptic.models.networks.season_kinds``); 0: by the semantic head, as land cover is.
    kind_channels
        Width of the last layer before the kinds; the one before it is twice as wide.
    """

    heads: Literal[4, 8] = 8
    key_channels: int = Field(default=8, ge=1, le=64)
    harmonics: int = Field(default=4, ge=1, le=16)
    kinds: int = Field(default=0, ge=0, le=64)
    kind_channels: int = Field(default=48, ge=1, le=256)


class UNetSettings(StrictModel):
    """Constructor arguments of a network beyond bands and classes, within sane sizes."""

    encoder: Literal["mobilenet_v2"] = "mobilenet_v2"
    encoder_depth: int = Field(default=4, ge=3, le=5)
    decoder_channels: tuple[Annotated[int, Field(ge=4, le=512)], ...] = (96, 64, 40)
    detail_channels: int = Field(default=16, ge=1, le=256)
    head_channels: int = Field(default=24, ge=2, le=256, multiple_of=2)
    fine_convolution: bool = True
    """Whether a convolution on output pixels comes before the heads. Without it a fifth of the work is saved even with
    twice the ``head_channels``."""
    temporal: TemporalSettings | None = None
    """A ``PanopticUNetSeries`` has them, a ``PanopticUNet`` has none."""
    outputs: Literal["dense", "paps", "paps-unrefined"] = "dense"
    """Dense maps for the watershed, or the heads of PaPs, as published or without the convolutions over masks."""

    @model_validator(mode="after")
    def _fitting(self) -> Self:
        if len(self.decoder_channels) != self.encoder_depth - 1:
            raise ValueError("decoder_channels needs encoder_depth - 1 entries")
        if self.temporal is not None and self.detail_channels % self.temporal.heads:
            raise ValueError("detail_channels must be a multiple of temporal.heads")
        if not self.fine_convolution and self.outputs != "dense":
            raise ValueError("fine_convolution: false needs outputs: dense")
        if self.temporal is not None and self.temporal.kinds and self.outputs != "dense":
            raise ValueError("temporal.kinds needs outputs: dense")
        return self


class Normalisation(StrictModel):
    """How band values become network input: scene percentiles to 0 and 1, then clipped.

    Stated for other programs and people: no other numbers than these are computed.
    """

    kind: Literal["scene-percentiles"] = "scene-percentiles"
    low_percentile: float = 2.0
    high_percentile: float = 98.0
    clip: tuple[float, float] = (-1.0, 2.0)

    @model_validator(mode="after")
    def _as_computed(self) -> Self:
        fields = type(self).model_fields
        if any(getattr(self, name) != field.default for name, field in fields.items()):
            raise ValueError(
                "scene-percentiles are 2 and 98, clipped to -1 and 2; other numbers are never computed"
            )
        return self


class FixedNormalisation(StrictModel):
    """The same range for every scene: ``low`` becomes 0 and ``high`` 1, then clipped.

    One value a band, in the order of the bands, of stored values times the scale that the file states.
    """

    kind: Literal["fixed"]
    low: tuple[float, ...]
    high: tuple[float, ...]
    clip: tuple[float, float] = (-1.0, 2.0)

    @model_validator(mode="after")
    def _ranges(self) -> Self:
        if len(self.low) != len(self.high) or any(
            not low < high for low, high in zip(self.low, self.high, strict=True)
        ):
            raise ValueError("low and high need one value a band each, the smaller in low")
        if not self.clip[0] < self.clip[1]:
            raise ValueError("clip needs the smaller value first")
        return self


class Weights(StrictModel):
    """The weight file beside ``bundle.json``."""

    file: Literal["model.safetensors"] = "model.safetensors"
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    size_bytes: int = Field(gt=0, le=2**31)


class GroupingFile(StrictModel):
    """The learned grouping beside ``bundle.json``, see ``geopanoptic.models.grouping``."""

    file: Literal["grouping.json"] = "grouping.json"
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$")


class TrainingData(StrictModel):
    """One source of training samples and the terms it came under."""

    name: str
    licence: str
    role: str
    share: float | None = None


class Manifest(StrictModel):
    """The whole of ``bundle.json``. Bands are canonical names in the order of the input channels."""

    format: Literal["geopanoptic-bundle"] = "geopanoptic-bundle"
    format_version: int = Field(FORMAT_VERSION, ge=1, le=FORMAT_VERSION, strict=True)
    name: Name
    title: str = ""
    architecture: Architecture = "PanopticUNet"
    network: UNetSettings = UNetSettings()
    bands: Bands
    pixel_size_m: tuple[float, float] = (5.0, 20.0)
    working_pixel_m: float | None = Field(None, gt=0)
    """Where it draws best: finer scenes are averaged to about this pixel size. None: they are read as stored."""
    normalisation: Annotated[Normalisation | FixedNormalisation, Field(discriminator="kind")] = (
        Normalisation()
    )
    classes: Classes
    output_scale: Literal[2] = 2
    views: Literal[1, 2, 4] = 1
    """Views of every tile whose outputs are averaged, each at the price of the first: 2 as it is and turned half
    round, 4 mirrored along either axis besides."""
    two_scales: bool = False
    """Whether every tile is looked at at two pixel sizes, see ``geopanoptic.models.networks.two_scales``. Images only."""
    stride_px: int = Field(ge=1, le=64)
    reach_px: int = Field(ge=1, le=4096)
    thresholds: Thresholds = Thresholds()
    weights: Weights
    grouping: GroupingFile | None = None
    """Where there is one, it decides instead of ``thresholds`` (but for the relief's mixture)."""
    licence: str
    training: tuple[TrainingData, ...] = ()
    metrics: dict[str, float | str] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.stride_px != 2**self.network.encoder_depth:
            raise ValueError(f"stride_px must be {2**self.network.encoder_depth} for this encoder_depth")
        if self.architecture != architecture_of(self.network):
            raise ValueError("network.temporal belongs to architecture PanopticUNetSeries, and to it alone")
        if self.two_scales and (self.network.temporal is not None or self.network.outputs != "dense"):
            raise ValueError("two_scales is for PanopticUNet with dense outputs")
        if isinstance(self.normalisation, FixedNormalisation) and len(self.normalisation.low) != len(
            self.bands
        ):
            raise ValueError(f"normalisation.low and .high need {len(self.bands)} values, one a band")
        check_channels(self.network, self.bands, self.classes)
        low, high = self.pixel_size_m
        if not 0 < low <= high:
            raise ValueError("pixel_size_m must be a range, smaller size first")
        return self


def check_channels(network: UNetSettings, bands: Sequence[str], classes: Sequence[ClassSpec]) -> None:
    """Raises ``ValueError`` where bands or classes repeat, a kind of class is missing, or they do not fit the network."""
    for what, values in (
        ("bands", list(bands)),
        ("class ids", [str(each.id) for each in classes]),
        ("class names", [each.name for each in classes]),
    ):
        if repeated := sorted({value for value in values if values.count(value) > 1}):
            raise ValueError(f"{what} repeat: {', '.join(repeated)}")
    if {each.kind for each in classes} != {"thing", "stuff"}:
        raise ValueError("classes need at least one thing and one stuff")
    check_kinds(network, classes)
    check_stuff(network, classes)


def check_stuff(network: UNetSettings, classes: Sequence[ClassSpec]) -> None:
    """Raises ``ValueError`` where heads of PaPs, which state parcels only, have several classes of stuff."""
    n_stuff = [each.kind for each in classes].count("stuff")
    if network.outputs != "dense" and n_stuff > 1:
        raise ValueError(f"network.outputs {network.outputs} knows one class of stuff; there are {n_stuff}")


def check_kinds(network: UNetSettings, classes: Sequence[ClassSpec]) -> None:
    """Raises ``ValueError`` where a branch for kinds does not have just the things, and those first."""
    if network.temporal is None or not (n_kinds := network.temporal.kinds):
        return
    if [each.kind for each in classes] != ["thing"] * n_kinds + ["stuff"] * (len(classes) - n_kinds):
        raise ValueError(f"with temporal.kinds {n_kinds} the first {n_kinds} classes must be all the things")


def architecture_of(network: UNetSettings) -> Architecture:
    """The class that ``build_network`` makes of these settings."""
    return "PanopticUNet" if network.temporal is None else "PanopticUNetSeries"
