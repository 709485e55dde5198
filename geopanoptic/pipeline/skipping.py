"""What becomes of a block that cannot be read or computed: the run fails and says which, or leaves it out."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from geopanoptic.errors import GeopanopticError, OutputError, UsageError
from geopanoptic.grid import Window
from geopanoptic.pipeline.dense import DenseCount, write_nodata
from geopanoptic.pipeline.detections.stored import PARCELS, write_none
from geopanoptic.pipeline.execution import Executor
from geopanoptic.pipeline.losses import Loss, in_part, losses_of, note_losses
from geopanoptic.pipeline.record import Record
from geopanoptic.pipeline.resuming.beginning import IsStored
from geopanoptic.pipeline.store import RunStore


@dataclass(frozen=True, slots=True, kw_only=True)
class OnFailure:
    """Called with a block (output pixels) and its error; see ``Executor.map``.

    With ``skip``, the block becomes nodata, is recorded and warned of. What would befall every block is not
    skipped: a mistake in the options, a full disk, and the last of the map's ``n_blocks`` where all others failed too.
    """

    store: RunStore
    record: Record
    skip: bool
    n_blocks: int

    def __call__(self, block: Window, error: Exception) -> DenseCount:
        where = f"rows {block.row0}-{block.row1}, columns {block.col0}-{block.col1} of the output"
        hopeless = isinstance(error, UsageError | OSError) or self.record.failed_blocks == self.n_blocks - 1
        if not self.skip or hopeless:
            raise _placed(error, where)
        reason = error.message if isinstance(error, GeopanopticError) else f"{type(error).__name__}: {error}"
        window = [block.row0, block.col0, block.row1, block.col1]
        loss = {"output_window": window, "reason": reason}, f"{where}: {reason}"
        note_losses(self.store, block, [loss])
        _write_nodata(self.store, block)
        self.record.skip(*loss)
        return DenseCount(network_px=0, core_px=0, network_s=0.0)


def take_in_part(
    blocks: Sequence[Window], store: RunStore, executor: Executor, record: Record
) -> list[Window]:
    """Take blocks of which something was left out as they are, and say what; returns those that are not even that."""
    held = list(executor.map(IsStored(store=in_part(store)), blocks))
    losses: dict[str, Loss] = {}
    for block, is_held in zip(blocks, held, strict=True):
        for lost, text in losses_of(store, block) if is_held else ():
            # Neighbours find the same ones in their halos, where not always for the same reason.
            place = json.dumps({**lost, "reason": None}, sort_keys=True)
            losses.setdefault(place, (lost, text))
    for _, loss in sorted(losses.items()):
        record.skip(*loss)
    return [block for block, is_held in zip(blocks, held, strict=True) if not is_held]


def leave_out(blocks: Sequence[Window], store: RunStore, record: Record) -> None:
    """Make nodata of blocks that no shard has stored; raises OutputError where those are all of them."""
    on_failure = OnFailure(store=store, record=record, skip=True, n_blocks=len(store.blocks()))
    for block in blocks:
        on_failure(block, OutputError("No shard has stored it.", remedy="Run the shards first."))


def _write_nodata(store: RunStore, block: Window) -> None:
    """Store of a block that failed what the run's network stores, in part: it is tried again."""
    if PARCELS in store.sealed:
        write_none(in_part(store), block)
    else:
        write_nodata(store, block)


def _placed(error: Exception, where: str) -> Exception:
    """The same kind of refusal, with the block in it."""
    if isinstance(error, GeopanopticError):
        return type(error)(f"{error.message} (at {where})", remedy=error.remedy)
    error.add_note(f"While computing {where}.")
    return error
