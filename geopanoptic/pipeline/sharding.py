"""One part of a run's dense stage, for job arrays: the parts share a folder and need no scheduler."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from geopanoptic.arguments import options_of
from geopanoptic.pipeline.execution.opening import open_executor
from geopanoptic.pipeline.network.inference import infer
from geopanoptic.pipeline.parameters import Parameters
from geopanoptic.pipeline.planning.room import check_disk
from geopanoptic.pipeline.preparing import (
    SceneLike,
    begin_run,
    crew_of,
    in_other_blocks,
    plan_run,
    refuse_changed,
)
from geopanoptic.pipeline.progress import Progress, progress_of
from geopanoptic.pipeline.record import Record
from geopanoptic.pipeline.resuming.shards import Shard, shard_block_px
from geopanoptic.pipeline.resuming.workfolder import make, stored_bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardResult:
    """What a shard has done; its blocks are all stored now."""

    shard: Shard
    blocks_computed: int
    blocks_found: int
    """Blocks that were stored before, by an earlier try."""
    skipped: tuple[dict[str, Any], ...]
    """Blocks that failed and were left out, as in the report of a run."""


@options_of(Parameters)
def run_shard(
    scene: SceneLike,
    shard: str,
    work: str | Path,
    *,
    progress: Progress | bool | None = None,
    **parameters: Any,
) -> ShardResult:
    """Compute part ``shard`` (``"3/16"``) of a scene's blocks into the folder ``work``, shared by all parts.

    The first part to come decides block size, normalisation and precision; the others adopt them, whatever memory and
    cores they have. Blocks that are stored already are kept, so a part that was killed is just run again, and
    the same part may run twice at a time. When all are done, :func:`geopanoptic.run` with ``finish`` makes
    the map. ``parameters`` as there.

    Raises UsageError where ``work`` holds another run, and as ``geopanoptic.run``.
    """
    # Absolute: workers may have been started elsewhere.
    part, folder = Shard.parse(shard), Path(work).absolute()
    asked = Parameters(**parameters)
    record = Record(progress_of(progress))
    crew = crew_of(asked)
    planned = plan_run(scene, asked, crew)
    if asked.block_px is None:
        block_px = shard_block_px(planned.scene.grid.shape, planned.layout.block_px, part.count)
        planned = in_other_blocks(planned, asked, crew, block_px)
    record.announce(planned)
    check_disk(planned, folder, stored_bytes=stored_bytes(folder))
    make(folder)
    with ExitStack() as stack:
        executor = stack.enter_context(open_executor(crew, folder=folder, progress=record))
        planned, beginning = begin_run(
            planned,
            asked,
            crew,
            folder=folder,
            executor=executor,
            record=record,
            may_continue=True,
            shards=part.count,
        )
        own, missing = part.part(beginning.store.blocks()), beginning.missing(executor, part)
        infer(
            beginning.store,
            missing,
            planned,
            asked,
            beginning.normalisation,
            executor,
            record,
            of_blocks=len(own),
        )
    refuse_changed(planned.scene)
    return ShardResult(
        shard=part,
        blocks_computed=len(missing) - record.failed_blocks,
        blocks_found=len(own) - len(missing),
        skipped=tuple(record.skipped),
    )
