"""A patch's parcels by a bundle, on the labels' grid."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from geopanoptic.models.bundle import Bundle
from geopanoptic.models.networks.building import paps_heads_of
from geopanoptic.models.networks.paps import draw_parcels
from geopanoptic.models.paps_detector import PapsDetector, load_detector
from geopanoptic.models.runtimes import Runtime, load_runtime
from geopanoptic.panoptic.parcels.repair import repair
from geopanoptic.pipeline.grouping.rules import GroupingRules, quantiser, rules_of_bundle
from geopanoptic.training.candidates import region_graph
from geopanoptic.training.pastis.folder import CROPS
from geopanoptic.training.pastis.season import Season

_MARGIN_STRIDES = 2
_MIN_AREA_PX = 4  # of the labels' pixels

Device = Literal["auto", "cpu", "cuda"]
OTHER = 0
"""Class of parcels that are none of the 18 crops."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ParcelMap:
    """``instances_hw`` int32: parcels 1..n, 0 none; ``class_of`` (n + 1,) the class 1 to 18 of each, or ``OTHER``."""

    instances_hw: NDArray[np.int32]
    class_of: NDArray[np.int64]


class SeasonMapper(Protocol):
    """Finds the parcels of a season."""

    def __call__(self, season: Season) -> ParcelMap: ...


def mapper_of(bundle: Bundle, *, device: Device = "auto", threads: int | None = None) -> SeasonMapper:
    """What maps by the outputs that the bundle's network has; errors as ``load_runtime``."""
    if bundle.finds_parcels:
        return PapsMapper(load_detector(bundle, device=device, threads=threads or 1))
    return BundleMapper(bundle, load_runtime(bundle, device=device, threads=threads))


class BundleMapper:
    """Maps as ``geopanoptic run`` does: one watershed from centres, each parcel of one class."""

    def __init__(self, bundle: Bundle, network: Runtime) -> None:
        self._bundle, self._network = bundle, network
        self._rules: GroupingRules = rules_of_bundle(
            bundle, min_area_px=_MIN_AREA_PX * bundle.output_scale**2
        )
        self._quantise = quantiser(bundle)
        self._number_of = _numbers(bundle)

    def __call__(self, season: Season) -> ParcelMap:
        layers, valid = self.layers(season)
        graph, region = region_graph(layers, valid, self._rules)
        final = repair(graph, self._rules.repair)
        label = np.concatenate([final.final_label, np.zeros(1, np.int32)])[region]
        class_of = np.concatenate([[OTHER], self._number_of[final.class_index[: final.n_things]]])
        return ParcelMap(
            instances_hw=_coarse(np.where(label <= final.n_things, label, 0), self._bundle.output_scale),
            class_of=class_of,
        )

    def layers(self, season: Season) -> tuple[dict[str, NDArray[np.generic]], NDArray[np.bool_]]:
        """Quantised outputs by name and validity, (h, w) in output pixels."""
        scale, stride_px = self._bundle.output_scale, self._bundle.stride_px
        margin_px = _MARGIN_STRIDES * stride_px
        outputs = self._network.over(_padded(season, margin_px, stride_px))
        rows, cols = (
            slice(scale * margin_px, scale * (margin_px + length)) for length in season.image_tchw.shape[2:]
        )
        valid = season.seen_tchw.any((0, 1)).repeat(scale, 0).repeat(scale, 1)
        core = {name: np.ascontiguousarray(values[0, :, rows, cols]) for name, values in outputs.items()}
        return self._quantise(core, valid), valid


class PapsMapper:
    """Maps by the heads of PaPs: parcels drawn in the order of their confidence."""

    def __init__(self, detector: PapsDetector) -> None:
        self._detector = detector
        self._number_of = _numbers(detector.bundle)

    def __call__(self, season: Season) -> ParcelMap:
        detector = self._detector
        # The patch alone, as training shows it; its sides are multiples of the stride.
        outputs = detector.outputs(season.inputs())
        parcels, classes = draw_parcels(
            paps_heads_of(detector.network), outputs, things=detector.things, rules=detector.rules
        )
        numbers = self._number_of[[detector.things.index(channel) for channel in classes]]
        return ParcelMap(
            instances_hw=_coarse(parcels.cpu().numpy(), detector.bundle.output_scale),
            class_of=np.concatenate([[OTHER], numbers]),
        )


def _padded(season: Season, margin: int, stride_px: int) -> Iterator[tuple[NDArray[np.float32], float]]:
    """The inputs with no data around them, in multiples of the stride."""
    extra = [(margin, margin + -n % stride_px) for n in season.image_tchw.shape[2:]]
    for input_bchw, day in season.inputs():
        yield np.pad(input_bchw, [(0, 0), (0, 0), *extra]), day


def _numbers(bundle: Bundle) -> NDArray[np.int64]:
    """The data set's number of every thing class of the bundle, ``OTHER`` where it has none of its name."""
    numbers = {name: number for number, name in enumerate(CROPS, 1)}
    return np.array(
        [numbers.get(each.name, OTHER) for each in bundle.classes if each.kind == "thing"], np.int64
    )


def _coarse(labels_hw: NDArray[np.int32], scale: int) -> NDArray[np.int32]:
    """The most frequent label of every ``scale`` x ``scale`` pixels, of equals the first: the labels' own grid."""
    rows, cols = (length // scale for length in labels_hw.shape)
    squares = labels_hw.reshape(rows, scale, cols, scale).swapaxes(1, 2)
    blocks = squares.reshape(rows, cols, scale**2)
    votes = (blocks[..., None] == blocks[..., None, :]).sum(-1)
    return np.take_along_axis(blocks, votes.argmax(-1)[..., None], -1)[..., 0]
