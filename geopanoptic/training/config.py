"""What a training run is made of, read from YAML."""

from __future__ import annotations

import copy
import re
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import yaml
from pydantic import ConfigDict, Field, ValidationError, field_validator, model_validator

from geopanoptic.errors import UsageError
from geopanoptic.models.manifest import (
    Bands,
    Classes,
    ClassSpec,
    Name,
    TemporalSettings,
    Thresholds,
    UNetSettings,
    check_channels,
)
from geopanoptic.strict import StrictModel, parse_yaml, read_yaml
from geopanoptic.training.datasets.settings import (
    CocoData,
    DataSettings,
    GeneratedData,
    PastisData,
    PoolData,
    SeasonPoolData,
    VectorData,
)
from geopanoptic.training.pastis.classes import PASTIS_CLASSES
from geopanoptic.training.synthetic import BANDS
from geopanoptic.wording import did_you_mean, fault

SECOND_LOOK_SCALE = Fraction(3, 2)
"""How much larger a teacher now and then sees a crop, see ``losses.agreement``."""

Weight = Annotated[float, Field(ge=0)]
Probability = Annotated[float, Field(ge=0, le=1)]


class LossSettings(StrictModel):
    """Weights of the terms; a weight of 0 leaves a term out."""

    field: Weight = 1.0
    field_region: Literal["dice", "lovasz"] = "dice"
    classes: Weight = 1.0
    classes_focal: Weight = 0.0
    """Exponent of the focal factor; 0 is cross entropy."""
    centre: Weight = 6.0
    centre_kind: Literal["squared", "focal"] = "squared"
    boundary: Weight = 1.0
    distance: Weight = 2.0
    keeping: Weight = 0.0
    """Of staying with the outputs of the weights that the run started from, where nothing is labelled."""
    agreement: Weight = 0.0
    """Of agreeing with the teacher about the same ground, which it sees turned, now and then larger, and as it was before
    ``augmentation`` changed it. A step takes half as long again."""


class AugmentationSettings(StrictModel):
    """Chances and strengths of random changes; turns and mirrors always happen."""

    zoom_chance: Probability = 0.5
    zoom: tuple[float, float] = (0.7, 2.0)
    """Range of scales, log-uniform: below 1 parcels become smaller."""
    gain: Weight = 0.22
    """Largest relative change of contrast common to all bands."""
    shift: Weight = 0.1
    """Standard deviation of a change of brightness, in units of the normalised range."""
    grey_chance: Probability = 0.08
    permute_chance: Probability = 0.10
    blur_chance: Probability = 0.15
    noise: Weight = 0.04
    visible_only: Probability = 0.40
    """Chance that only blue, green and red are shown, to networks that know all three."""
    visible_and_nir: Probability = 0.25
    """Chance that near infrared is shown besides."""
    nodata_chance: Probability = 0.12

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        low, high = self.zoom
        if not 0.25 <= low <= high <= 4:
            raise ValueError("zoom is a range within 0.25 to 4, smaller first")
        if self.visible_only + self.visible_and_nir > 1:
            raise ValueError("visible_only and visible_and_nir add up to more than 1")
        return self


class SeasonSettings(StrictModel):
    """Which dates of a series are shown, and what befalls each of them alone. Only for networks of series."""

    dates: tuple[Annotated[int, Field(ge=1)], ...] = Field(default=(1, 2, 3, 4, 5, 6), min_length=1)
    """How many dates a sample may show, each with the same chance; one that has fewer shows all."""
    gain: Weight = 0.06
    """Largest relative change of contrast of a band on one date."""
    shift: Weight = 0.03
    """Standard deviation of a change of its brightness, in units of the normalised range."""
    hidden_chance: Probability = 0.08
    """Chance that a date is hidden as a whole; one date always stays."""
    cloud_chance: Probability = 0.2
    """Chance that clouds cover a part of a date."""
    unmasked_share: Probability = 0.3
    """Share of those clouds that no mask knows of: they are seen as bright ground."""
    later_days: Weight = 6.0
    """Standard deviation of a shift of the whole season, in days."""
    jitter_days: Weight = 2.0
    """Standard deviation of the error of single days."""
    dateless_chance: Probability = 0.15
    """Chance that no day of a series is known."""


def fits_second_look(crop_px: int, stride_px: int) -> bool:
    """Whether a network of this stride takes a crop that is shown ``SECOND_LOOK_SCALE`` times as large."""
    return (crop_px * SECOND_LOOK_SCALE) % stride_px == 0


FIELDS_CLASSES = tuple(
    ClassSpec(
        id=number,
        name=name,
        kind="thing" if name == "parcel" else "stuff",
        colour=colour,
        open_ground=name in ("other vegetation", "bare"),
    )
    for number, (name, colour) in enumerate(
        {
            "parcel": "#e6c229",
            "water": "#3b7dd8",
            "woodland": "#1f6b3a",
            "built-up": "#b04a5a",
            "other vegetation": "#9fce8f",
            "bare": "#c8b49a",
        }.items(),
        1,
    )
)
"""Classes of the bundled networks of single images."""


class TrainingConfig(StrictModel):
    """One run. Either ``steps`` or ``minutes`` of wall clock set its length and the course of the rates."""

    model_config = ConfigDict(populate_by_name=True)

    name: Name = "trained"
    seed: int = Field(default=0, ge=0)
    start: str = Field(default="random", alias="from")
    """``random``, ``imagenet``, ``default``, the name or folder of a bundle, or a checkpoint's file."""
    new_heads: bool = False
    """Begin the heads anew, which may be of another width or kind than those of the bundle in ``from``."""
    bands: Bands = BANDS
    classes: Classes = FIELDS_CLASSES
    network: UNetSettings = UNetSettings()
    thresholds: Thresholds | None = None
    """How the bundle of a run from a configuration groups; None: as the bundle it started from, or the default."""
    data: tuple[DataSettings, ...] = Field(min_length=1)
    validation: tuple[DataSettings, ...] = ()
    """With it, the weights of least loss on fixed crops of this data are kept as the result."""
    validation_crops: int = Field(default=24, ge=1)
    validation_minutes: float = Field(default=1.0, gt=0)
    validation_steps: int | None = Field(default=None, ge=1)
    """How often the held-out loss is looked at: by the clock, or every so many steps."""
    patience: int | None = Field(default=None, ge=1)
    """End the run after so many looks without a lower held-out loss; None: never before its time."""
    crop_px: int = Field(default=128, ge=32, multiple_of=32)
    batch: int = Field(default=8, ge=1)
    steps: int | None = Field(default=None, ge=1)
    minutes: float | None = Field(default=None, gt=0)
    encoder_rate: float = Field(default=5e-4, gt=0)
    decoder_rate: float = Field(default=1.5e-3, gt=0)
    new_rate: float | None = Field(default=None, gt=0)
    """Rate of what a network of series has to learn anew, if it starts from one of images: the kinds of parcels and
    how dates are weighed. None: ``decoder_rate``."""
    weight_decay: Weight = 1e-4
    warm_up_steps: int = Field(default=40, ge=1)
    average_decay: float = Field(default=0.998, ge=0, lt=1)
    frozen_norms: bool = False
    """Keep the batch norms' statistics: right for fine-tuning on few images."""
    losses: LossSettings = LossSettings()
    augmentation: AugmentationSettings = AugmentationSettings()
    season: SeasonSettings = SeasonSettings()
    teacher: str | None = None
    """``default``, or the name or folder of the bundle that ``losses.agreement`` asks to agree with; None: the running
    average of the weights."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    mixed_precision: bool = True
    """bfloat16 on a CUDA device or CPU that computes in it."""
    threads: int = Field(default=2, ge=1)
    """Parts of a batch computed side by side on the CPU."""
    readers: int = Field(default=1, ge=1)
    """Batches prepared side by side."""
    checkpoint_minutes: float = Field(default=4.0, gt=0)
    log_steps: int = Field(default=20, ge=1)
    picture_steps: int = Field(default=400, ge=0)
    """Steps between pictures of inputs, targets and outputs; 0: none."""
    tensorboard: bool = False

    @field_validator("classes", mode="before")
    @classmethod
    def _named_classes(cls, given: Any) -> Any:
        """``classes: pastis`` stands for the 18 crops and the background of PASTIS."""
        return PASTIS_CLASSES if given == "pastis" else given

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if (self.steps is None) == (self.minutes is None):
            raise ValueError("give either steps or minutes")
        if self.losses.keeping and (self.network.outputs != "dense" or self.start == "random"):
            raise ValueError("losses.keeping needs dense outputs and weights to start from (from)")
        if self.losses.agreement and self.network.outputs != "dense":
            raise ValueError("losses.agreement needs dense outputs")
        if self.losses.agreement and not fits_second_look(self.crop_px, 2**self.network.encoder_depth):
            raise ValueError(
                f"losses.agreement needs a crop_px in multiples of {2**self.network.encoder_depth * 2}"
            )
        if self.teacher and not self.losses.agreement:
            raise ValueError("a teacher needs losses.agreement above 0")
        if self.new_heads and (self.losses.keeping or self.network.outputs != "dense"):
            raise ValueError(
                "new_heads needs outputs: dense, and losses.keeping to be 0: they have no old outputs"
            )
        check_channels(self.network, self.bands, self.classes)
        return self

    def to_yaml(self, *, without: frozenset[str] = frozenset()) -> str:
        """What is not as by default, as ``read_config`` reads it; ``without`` some keys."""
        told = self.model_dump(mode="json", by_alias=True, exclude_defaults=True, exclude=set(without))
        return yaml.safe_dump(told, sort_keys=False)


RESUMABLE_KEYS = frozenset(
    {"steps", "minutes", "device", "readers", "checkpoint_minutes", "log_steps", "picture_steps"}
    | {"tensorboard", "validation_minutes", "name", "thresholds"}
)
"""What may change between the parts of an interrupted run."""


def read_config(path: Path, changes: Sequence[str] = (), **overrides: Any) -> TrainingConfig:
    """The configuration in a YAML file.

    ``changes`` are ``key=value`` with dotted keys (``losses.centre=3``, ``data.0.share=0.5``), values in
    YAML; they win over ``overrides`` that are not None, and those over the file.

    Raises ``UsageError`` naming the key for unknown keys (with the nearest known one) and bad values.
    """
    values = read_yaml(path, remedy="Name a YAML file such as configs/quick.yaml.")
    # The file's length gives way to the one asked for.
    if overrides.get("minutes") is not None:
        values.pop("steps", None)
    given = {key: value for key, value in overrides.items() if value is not None}
    return configured({**values, **given}, changes, source=str(path))


def configured(values: dict[str, Any], changes: Sequence[str] = (), *, source: str) -> TrainingConfig:
    """``values`` with ``changes`` as a configuration; ``source`` is named where they do not fit."""
    values = copy.deepcopy(values)
    for change in changes:
        _apply(values, change)
    return _validated(values, source)


def _validated(values: dict[str, Any], source: str) -> TrainingConfig:
    try:
        return TrainingConfig.model_validate(values)
    except ValidationError as error:
        faults = error.errors()
        # A misspelt key is often the reason why another one is missing.
        if unknown := next((each for each in faults if each["type"] == "extra_forbidden"), None):
            if values.keys() >= _DESCRIBES_BUNDLE:
                raise UsageError(
                    f"{source} describes a bundle, not a training.",
                    remedy="Train with configs/default-bundle.yaml or another; python -m geopanoptic.training.export makes the "
                    "bundle of what that leaves.",
                ) from None
            *_, name = keys = [str(part) for part in unknown["loc"]]
            raise UsageError(
                f"{source}: there is no key {'.'.join(keys)!r}.",
                remedy=did_you_mean(name, _known_keys(keys[:-1]), "Leave it out."),
            ) from None
        if faults[0]["type"] == "union_tag_invalid":
            place, kind = ".".join(map(str, faults[0]["loc"])), faults[0]["ctx"]["tag"]
            kinds = re.findall("'(.+?)'", faults[0]["ctx"]["expected_tags"])
            raise UsageError(
                f"{source}: {place}.kind: there is no {kind!r}.",
                remedy=did_you_mean(kind, kinds, f"There are {', '.join(kinds)}."),
            ) from None
        raise UsageError(f"{source}: {fault(error)}.", remedy="Correct the configuration.") from None


def _apply(values: dict[str, Any], change: str) -> None:
    key, separator, text = change.partition("=")
    if not separator:
        raise UsageError(f"--set {change!r} has no '='.", remedy="Write it like --set batch=4.")
    *parents, last = key.strip().split(".")
    # One length takes the place of the other.
    for other in {"steps": ("minutes",), "minutes": ("steps",)}.get(key.strip(), ()):
        values.pop(other, None)
    place: Any = values
    try:
        for part in parents:
            place = place[int(part)] if isinstance(place, list) else place.setdefault(part, {})
        place[int(last) if isinstance(place, list) else last] = parse_yaml(text)
    except (ValueError, IndexError, TypeError, AttributeError, yaml.YAMLError, RecursionError):
        raise UsageError(
            f"--set {change!r} fits nothing in the configuration.",
            remedy="Write keys as in the file, with dots between levels: --set losses.centre=3.",
        ) from None


def _known_keys(section: Sequence[str]) -> list[str]:
    """The keys of a section, named by its keys from the top, as pydantic does: ``losses``, ``data.0.generated``."""
    names = [part for part in section if not part.isdecimal()]
    model = _SECTIONS[names[-1]] if names else TrainingConfig
    return sorted(field.alias or name for name, field in model.model_fields.items())


_SECTIONS: dict[str, type[StrictModel]] = {
    "losses": LossSettings,
    "augmentation": AugmentationSettings,
    "season": SeasonSettings,
    "network": UNetSettings,
    "temporal": TemporalSettings,
    "classes": ClassSpec,
    "thresholds": Thresholds,
    **{
        get_args(model.model_fields["kind"].annotation)[0]: model
        for model in (GeneratedData, PoolData, SeasonPoolData, VectorData, CocoData, PastisData)
    },
}
_DESCRIBES_BUNDLE = {"pixel_size_m", "classes", "metrics"}
