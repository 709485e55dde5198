"""``grouping.json``: how a bundle's dense outputs become parcels, where that was learned from labelled scenes.

Numbers only: thresholds of the over-segmentation and an ensemble of small regression trees as plain arrays.
What they mean is told in ``geopanoptic.panoptic.parcels.choice``. Without the file, the thresholds of
``bundle.json`` decide alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from geopanoptic.errors import ModelError
from geopanoptic.models.manifest import GROUPING_FILE, GroupingFile, Probability
from geopanoptic.models.weights import own_file, sha256_of
from geopanoptic.wording import fault

_REFETCH = "Fetch the bundle again from where it came."
_FILE_LIMIT_BYTES = 2**23
_LARGEST_TREE_NODES = 1 << 20

Integers = Annotated[
    tuple[Annotated[int, Field(ge=-1, lt=_LARGEST_TREE_NODES)], ...], Field(max_length=_LARGEST_TREE_NODES)
]
Floats = Annotated[
    tuple[Annotated[float, Field(allow_inf_nan=False)], ...], Field(max_length=_LARGEST_TREE_NODES)
]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Trees(_Strict):
    """Regression trees laid end to end, see ``geopanoptic.panoptic.parcels.boosting.TreeEnsemble``."""

    base: float = Field(allow_inf_nan=False)
    root: Integers
    feature: Integers
    threshold: Floats
    left: Integers
    right: Integers
    value: Floats

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        lengths = {len(each) for each in (self.feature, self.threshold, self.left, self.right, self.value)}
        if len(lengths) != 1:
            raise ValueError("the arrays of nodes differ in length")
        return self


class Grouping(_Strict):
    """The whole of ``grouping.json``.

    centre, centre_radius_px, field
        As in ``Thresholds``, but for regions that are too small on purpose.
    features
        Names of the trees' features, in order.
    trees
        Expected IoU of a candidate with a true parcel.
    price
        Least expected IoU of a parcel, but where all those nearby are doubtful.
    score_slope, score_offset
        The score is the logistic function of slope * expected IoU + offset.
    metrics
        Figures of the fit.
    """

    format: Literal["geopanoptic-grouping"] = "geopanoptic-grouping"
    format_version: Literal[1] = 1
    centre: Probability
    centre_radius_px: int = Field(ge=1, le=64)
    field: Probability
    features: tuple[str, ...] = Field(min_length=1, max_length=256)
    trees: Trees
    price: Probability
    score_slope: float = Field(ge=0, allow_inf_nan=False)
    score_offset: float = Field(allow_inf_nan=False)
    metrics: dict[str, float] = Field(default_factory=dict)


def read_grouping(folder: Path, expected: GroupingFile) -> Grouping:
    """The bundle's ``grouping.json``; raises ``ModelError`` unless it is the intact file of the manifest."""
    path = own_file(folder, GROUPING_FILE)
    if not path.is_file():
        raise ModelError(f"{folder} has no {path.name}.", remedy=_REFETCH)
    if path.stat().st_size > _FILE_LIMIT_BYTES or sha256_of(path) != expected.sha256:
        raise ModelError(f"{path} does not have the sha256 that bundle.json states.", remedy=_REFETCH)
    try:
        return Grouping.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise ModelError(f"{path}: {fault(error)}.", remedy=_REFETCH) from None


def write_grouping(folder: Path, grouping: Grouping) -> GroupingFile:
    """Write ``grouping.json`` into a bundle's folder; returns its entry for the manifest."""
    path = folder / GROUPING_FILE
    path.write_text(grouping.model_dump_json() + "\n", encoding="utf-8")
    return GroupingFile(sha256=sha256_of(path))
