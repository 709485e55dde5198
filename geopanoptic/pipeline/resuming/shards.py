"""Shards: parts of a run's blocks for job arrays, where nobody hands out work.

Every shard computes its own number's part of the blocks and knows nothing of the others. A part is a run of
neighbouring blocks, so that few pixels are read twice.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from geopanoptic.errors import UsageError
from geopanoptic.grid import Window

BLOCKS_PER_SHARD = 4
"""At least as many blocks, where they do not get too small: the unequal last one then costs little."""
SMALLEST_BLOCK_PX = 1024


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """Part ``number`` (from 1) of ``count``."""

    number: int
    count: int

    @classmethod
    def parse(cls, text: str) -> Shard:
        """``3/16`` as a shard. Raises UsageError for anything else."""
        match = re.fullmatch(r"\s*([0-9]{1,6})\s*/\s*([0-9]{1,6})\s*", text)
        if match is None or not 1 <= int(match[1]) <= int(match[2]):
            raise UsageError(
                f"--shard is {text!r}.",
                remedy="Write the part's number and how many there are, from 1/16 to 16/16.",
            )
        return cls(number=int(match[1]), count=int(match[2]))

    def part(self, blocks: Sequence[Window]) -> list[Window]:
        """This shard's blocks; those of all shards together are ``blocks``, each once."""
        start, stop = ((self.number - end) * len(blocks) // self.count for end in (1, 0))
        return list(blocks[start:stop])

    def __str__(self) -> str:
        return f"{self.number}/{self.count}"


def shard_block_px(scene_shape: tuple[int, int], block_px: int, count: int) -> int:
    """A side of blocks, in scene pixels, that gives every one of ``count`` shards some blocks to do."""
    height, width = scene_shape
    while block_px > SMALLEST_BLOCK_PX and (
        -(-height // block_px) * -(-width // block_px) < BLOCKS_PER_SHARD * count
    ):
        block_px = max(block_px // 2, SMALLEST_BLOCK_PX)
    return block_px


def shards_of(missing: Iterable[Window], blocks: Sequence[Window], count: int) -> list[Shard]:
    """The shards of ``count`` whose parts hold any of the ``missing`` blocks."""
    wanted = set(missing)
    shards = (Shard(number=number, count=count) for number in range(1, count + 1))
    return [shard for shard in shards if wanted.intersection(shard.part(blocks))]
