"""Step 4 for a planned run: the network over its blocks, quantised into the run store."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from geopanoptic.grid import Window
from geopanoptic.models.bundle import Bundle
from geopanoptic.panoptic.quantisation import LAYERS, was_compiled
from geopanoptic.pipeline.detections.finding import DetectorOfBundle, FindParcels
from geopanoptic.pipeline.detections.stored import FOUND_LAYERS
from geopanoptic.pipeline.execution import Executor
from geopanoptic.pipeline.grouping.rules import quantiser
from geopanoptic.pipeline.memory import return_freed_memory, return_large_arrays
from geopanoptic.pipeline.network.dense import DenseCount, InferBlock, network_turn, release_readers
from geopanoptic.pipeline.network.reading import scene_dates
from geopanoptic.pipeline.network.skipping import OnFailure
from geopanoptic.pipeline.parameters import Parameters
from geopanoptic.pipeline.planning.plan import Plan
from geopanoptic.pipeline.planning.planned_bundle import planned_bundle
from geopanoptic.pipeline.record import Record
from geopanoptic.pipeline.store.run_store import RunStore
from geopanoptic.scene import Normalisation
from geopanoptic.scene.files.blocks import UnreadableBlock

if TYPE_CHECKING:
    from geopanoptic.models.runtimes import Runtime


def infer(
    store: RunStore,
    blocks: Sequence[Window],
    planned: Plan,
    asked: Parameters,
    normalisation: Normalisation,
    executor: Executor,
    record: Record,
    *,
    of_blocks: int | None = None,
) -> None:
    """Fill ``blocks`` (output pixels) of the store with quantised layers: what is missing of ``of_blocks`` of a shard,
    by default of all.

    Raises the error of a block that fails (unless ``asked.on_error`` says to skip it), and as ``load_runtime``.
    """
    network = None if planned.bundle.finds_parcels else bundle_network(planned, asked)
    common: dict[str, Any] = {
        "store": store,
        "layout": planned.layout,
        "scale": planned.bundle.output_scale,
        "dates": scene_dates(planned, normalisation, only=None if network is None else network.bands),
        "wanted": planned.wanted,
        "skip_unreadable": asked.on_error == "skip",
    }
    task: Callable[[Window], DenseCount] = (
        FindParcels(network=bundle_detector(planned, asked), **common)
        if network is None
        else InferBlock(network=network, quantise=quantiser(planned.bundle), **common)
    )
    on_failure = OnFailure(
        store=store,
        record=record,
        skip=asked.on_error == "skip",
        # A shard of one block cannot tell that none would succeed.
        n_blocks=of_blocks if of_blocks and of_blocks > 1 else len(store.blocks()),
    )
    unreadable: set[UnreadableBlock] = set()
    scene_px = sum(block.size_px for block in blocks) / planned.bundle.output_scale**2
    if blocks and network is not None and not all(executor.everywhere(was_compiled)):
        record.note(
            "This is the first run here: it takes about a minute longer, to compile what later ones find."
        )
    with record.stage("network", total=scene_px, unit="px") as stage:
        for count in executor.map(task, blocks, network=True, failed=on_failure):
            unreadable.update(count.unreadable)
            record.network_px += count.network_px
            record.network_s += count.network_s / planned.processes
            stage.advance(count.core_px)
        if blocks and network is not None:
            executor.everywhere(ReleaseNetwork(network=network))
    # Sorted: neighbours find the same ones in their halos, in an order that depends on the layout.
    for lost in sorted(unreadable, key=lambda lost: (lost.file, lost.window.row0, lost.window.col0)):
        record.skip(lost.to_json(), lost.message)


@dataclass(frozen=True, slots=True, kw_only=True)
class BundleNetwork:
    """A bundle's network by reference: loaded where and when it is called first, and kept by that process."""

    path: Path
    fingerprint: str
    """See ``Bundle``. The weights' hash would not do: the same weights are looked at in other ways."""
    bands: tuple[str, ...] | None
    """Those that every date has; None where dates differ, and every band has a flag of its own."""
    margin_px: int
    of_fine_pixels: bool
    """See ``Bundle``."""
    device: str
    threads: int
    runtime: str
    precision: str

    def __call__(self) -> Runtime:
        """Raises ModelError where another bundle lies at ``path`` here, and as ``load_runtime``."""
        runtime = _loaded().get(self)
        if runtime is None:
            _loaded().clear()
            runtime = _loaded()[self] = _load(self)
        return runtime


def bundle_network(planned: Plan, asked: Parameters) -> BundleNetwork:
    """The network of a planned run."""
    return BundleNetwork(
        path=planned.bundle.path,
        fingerprint=planned.bundle.fingerprint,
        bands=planned.bands if planned.dates_agree else None,
        margin_px=planned.layout.halo_px,
        of_fine_pixels=planned.bundle.of_fine_pixels,
        device=asked.device,
        threads=planned.workers,
        runtime=asked.runtime,
        precision=planned.precision,
    )


def bundle_detector(planned: Plan, asked: Parameters) -> DetectorOfBundle:
    """The network of a planned run that states parcels one by one."""
    return DetectorOfBundle(
        path=planned.bundle.path,
        fingerprint=planned.bundle.fingerprint,
        device=asked.device,
        threads=planned.workers,
        runtime=asked.runtime,
        precision=planned.precision,
    )


def network_of_run(planned: Plan, asked: Parameters) -> BundleNetwork | DetectorOfBundle:
    """Whatever computes a planned run."""
    return (bundle_detector if planned.bundle.finds_parcels else bundle_network)(planned, asked)


def stored_layers(bundle: Bundle) -> tuple[str, ...]:
    """What the network's stage stores of a block."""
    return FOUND_LAYERS if bundle.finds_parcels else LAYERS


@dataclass(frozen=True, slots=True, kw_only=True)
class ReleaseNetwork:
    """Let a process that has run a network give back what the tiles needed: the stages to come need it.

    Never loads or waits, for it is called in the event loop of workers that had no tile as well: what another run
    computes with stays as it is.
    """

    network: BundleNetwork

    def __call__(self) -> None:
        if not network_turn().acquire(blocking=False):
            return
        try:
            runtime = _loaded().get(self.network)
            if runtime is not None:
                runtime.release()
        finally:
            network_turn().release()
        release_readers()
        return_freed_memory()


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefersBf16:
    """Task: whether a process would compute a network of single images in bfloat16. Looks at the machine only, so that
    workers may do it in their event loop."""

    device: str
    runtime: str

    def __call__(self, _: object = None) -> bool:
        from geopanoptic.models.runtimes.loading import prefers_bf16

        return prefers_bf16(self.device, self.runtime)  # type: ignore[arg-type]  # refused if unknown


@dataclass(frozen=True, slots=True, kw_only=True)
class DescribeRuntime:
    """Task: what computes a network where tasks are computed, such as ``openvino 2026.4.1, f32 on cpu``."""

    network: BundleNetwork | DetectorOfBundle

    def __call__(self, _: object) -> str:
        runtime = self.network()
        return f"{runtime.name} {runtime.version}, {runtime.precision} on {runtime.device.partition(':')[0]}"


@cache
def _loaded() -> dict[BundleNetwork, Runtime]:
    """The network that this process has loaded: one, for those of several bundles need not fit a GPU together."""
    return {}


def _load(network: BundleNetwork) -> Runtime:
    from geopanoptic.models.runtimes import load_runtime

    return_large_arrays()
    return load_runtime(
        replace(planned_bundle(network.path, network.fingerprint), of_fine_pixels=network.of_fine_pixels),
        device=network.device,  # type: ignore[arg-type]
        threads=network.threads,
        runtime=network.runtime,  # type: ignore[arg-type]
        bands=network.bands,
        margin_px=network.margin_px,
        precision=network.precision,  # type: ignore[arg-type]
    )
