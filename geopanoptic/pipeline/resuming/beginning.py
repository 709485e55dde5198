"""Where a run begins: with nothing, or with the blocks that an earlier one, or other shards, have stored."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from geopanoptic.errors import UsageError
from geopanoptic.grid import Window
from geopanoptic.panoptic.quantisation import LAYERS
from geopanoptic.pipeline.execution import Executor
from geopanoptic.pipeline.network.normalising import FirstLook
from geopanoptic.pipeline.resuming.identity import Identity
from geopanoptic.pipeline.resuming.manifest import Manifest, read_manifest
from geopanoptic.pipeline.resuming.shards import Shard, shards_of
from geopanoptic.pipeline.resuming.workfolder import open_store, require_unused
from geopanoptic.pipeline.store.run_store import RunStore
from geopanoptic.scene import Normalisation


@dataclass(frozen=True, slots=True, kw_only=True)
class Beginning:
    """A run's store and what is agreed about it."""

    store: RunStore
    manifest: Manifest

    @property
    def normalisation(self) -> Normalisation:
        return Normalisation.from_json(self.manifest.normalisation)

    def missing(self, executor: Executor, shard: Shard | None = None) -> list[Window]:
        """The blocks (of a shard) that are not stored yet, or whose hash says that they are damaged."""
        blocks = self.store.blocks()
        wanted = blocks if shard is None else shard.part(blocks)
        held = executor.map(IsStored(store=self.store), wanted)
        return [block for block, is_held in zip(wanted, held, strict=True) if not is_held]


@dataclass(frozen=True, slots=True, kw_only=True)
class IsStored:
    """Task: whether the network's stage has stored all layers of a block, undamaged."""

    store: RunStore

    def __call__(self, block: Window) -> bool:
        return self.store.holds(self.store.sealed, block)


def begin(
    folder: Path,
    identity: Identity,
    *,
    shape: tuple[int, int],
    block_px: int,
    look: Callable[[], FirstLook],
    may_continue: bool,
    shards: int | None = None,
    layers: Iterable[str] = LAYERS,
) -> Beginning:
    """Open a work folder for a run; ``look`` is asked where the folder does not know what the scene shows.

    ``shape`` (rows, cols) and ``block_px`` are in output pixels; a stored ``block_px`` goes before the given
    one. ``layers`` are what the network's stage stores of a block. Raises UsageError, with every difference, where the folder holds another run, and without
    ``may_continue`` also where it holds this one.
    """
    if not may_continue:
        require_unused(folder, identity)
    stored = read_manifest(folder)
    if stored is not None:
        proposed = replace(stored, identity=identity)
    else:
        seen = look()
        proposed = Manifest(
            identity=identity,
            block_px=block_px,
            normalisation=seen.normalisation.to_json(),
            valid_share=seen.valid_share,
            warnings=seen.warnings,
            shards=shards,
        )
    store, manifest = open_store(folder, proposed, shape, layers)
    return Beginning(store=store, manifest=manifest)


def require_complete(beginning: Beginning, missing: list[Window], folder: Path) -> None:
    """Raises UsageError where blocks are missing, with the shards that they belong to."""
    if not missing:
        return
    blocks, count = beginning.store.blocks(), beginning.manifest.shards or 1
    shards = [str(shard) for shard in shards_of(missing, blocks, count)]
    raise UsageError(
        f"{len(missing)} of {len(blocks)} blocks are missing in {folder}: shards {', '.join(shards)} have not "
        "finished.",
        remedy=f"Run them (again), such as --shard {shards[0]} --work {folder}; or compute what is missing here, "
        "with --resume instead of --finish.",
    )
