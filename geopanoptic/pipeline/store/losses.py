"""What had to be left out of a block, kept beside it: whoever makes the map of the blocks that shards have stored
says so.

Such a block is stored under a seal of its own. A run that continues takes it for missing and tries again; one that
only finishes takes it as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeAlias

from geopanoptic.grid import Window
from geopanoptic.pipeline.store.run_store import RunStore
from geopanoptic.replacing import replacing

Loss: TypeAlias = tuple[dict[str, Any], str]
"""What is left out, for ``run.json``, and in words."""


def in_part(store: RunStore) -> RunStore:
    """The same store for blocks of which something is left out."""
    return replace(store, seal=f"{store.seal} in part")


def note_losses(store: RunStore, block: Window, losses: Iterable[Loss]) -> None:
    """Keep what is left out of a block; call it before the block is stored."""
    path = _path(store, block)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as partial:
        partial.write_text(json.dumps(list(losses)), encoding="utf-8")


def losses_of(store: RunStore, block: Window) -> list[Loss]:
    """What was left out of a block that is stored in part; nothing where that is not known any more."""
    try:
        stored = json.loads(_path(store, block).read_text(encoding="utf-8"))
        return [(dict(lost), str(text)) for lost, text in stored]
    except (OSError, ValueError, TypeError):
        return []


def _path(store: RunStore, block: Window) -> Path:
    return store.folder / "losses" / f"{block.row0:09d}_{block.col0:09d}.json"
