"""What becomes of a block that cannot be read or computed: the run fails and says which, or leaves it out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

from geopanoptic.errors import GeopanopticError, OutputError, UsageError
from geopanoptic.grid import Window
from geopanoptic.pipeline.detections.stored import PARCELS, write_none
from geopanoptic.pipeline.execution import Executor
from geopanoptic.pipeline.network.dense import DenseCount, write_nodata
from geopanoptic.pipeline.record import Record
from geopanoptic.pipeline.resuming.beginning import IsStored
from geopanoptic.pipeline.store.losses import Loss, in_part, losses_of, note_losses
from geopanoptic.pipeline.store.run_store import RunStore


@dataclass(frozen=True, slots=True, kw_only=True)
class OnFailure:
    """Called with a block (output pixels) and its error; see ``Executor.map``.

    With ``skip``, the block becomes nodata, is recorded and warned of. What would befall every block is not
    skipped: a mistake in the options, a full disk, and the last of ``n_blocks`` where all others failed too.
    """

    store: RunStore
    record: Record
    skip: bool
    n_blocks: int
    """Of the map or of the shard, those that an earlier try has stored included."""

    def __call__(self, block: Window, error: Exception) -> DenseCount:
        hopeless = isinstance(error, UsageError | OSError) or self.record.failed_blocks == self.n_blocks - 1
        if not self.skip or hopeless:
            raise _placed(error, _place(block))
        reason = error.message if isinstance(error, GeopanopticError) else f"{type(error).__name__}: {error}"
        loss = _loss(block, reason)
        # In part: a run that continues tries it again, one that only finishes takes it.
        note_losses(self.store, block, [loss])
        _write_nodata(in_part(self.store), block)
        self.record.skip(*loss)
        return DenseCount(network_px=0, core_px=0, network_s=0.0)


def take_in_part(
    blocks: Sequence[Window], store: RunStore, executor: Executor, record: Record
) -> list[Window]:
    """Take blocks of which something was left out as they are, and say what; returns those that are not even that.

    Raises OutputError where nothing of any block could be computed.
    """
    held = executor.map(IsStored(store=in_part(store)), blocks)
    of_block = {
        block: losses
        for block, is_held in zip(blocks, held, strict=True)
        if is_held and (losses := losses_of(store, block))
    }
    # Neighbours find the same ones in their halos, where not always for the same reason.
    every = {
        json.dumps({**lost, "reason": None}, sort_keys=True): (lost, text)
        for losses in of_block.values()
        for lost, text in losses
    }
    if sum("output_window" in lost for lost, _ in every.values()) == len(store.blocks()):
        raise OutputError(
            f"No block could be computed: {next(iter(every.values()))[1]}.", remedy="Run the shards again."
        )
    for _, loss in sorted(every.items()):
        record.skip(*loss)
    return [block for block in blocks if block not in of_block]


def leave_out(blocks: Sequence[Window], store: RunStore, record: Record) -> None:
    """Make nodata of blocks that no shard has stored, for this map only; raises OutputError where those are all of
    them."""
    if len(blocks) == len(store.blocks()):
        raise OutputError("No shard has stored any block.", remedy="Run the shards first.")
    for block in blocks:
        # Under a seal that nobody looks for: a later run takes them for missing, as they are.
        _write_nodata(replace(store, seal=f"{store.seal} left out"), block)
        record.skip(*_loss(block, "No shard has stored it."))


def _loss(block: Window, reason: str) -> Loss:
    window = [block.row0, block.col0, block.row1, block.col1]
    return {"output_window": window, "reason": reason}, f"{_place(block)}: {reason}"


def _place(block: Window) -> str:
    return f"rows {block.row0}-{block.row1}, columns {block.col0}-{block.col1} of the output"


def _write_nodata(store: RunStore, block: Window) -> None:
    """Store of a block that failed what the run's network stores."""
    if PARCELS in store.sealed:
        write_none(store, block)
    else:
        write_nodata(store, block)


def _placed(error: Exception, where: str) -> Exception:
    """The same kind of refusal, with the block in it."""
    if isinstance(error, GeopanopticError):
        return type(error)(f"{error.message} (at {where})", remedy=error.remedy)
    error.add_note(f"While computing {where}.")
    return error
