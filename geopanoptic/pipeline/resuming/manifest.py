"""``manifest.json`` in a work folder: what the processes that share the folder have agreed on.

Whoever comes first writes it, in one step that only one process can win; everybody else adopts it. So shards
on machines with other memory or other cores still cut the scene into the same blocks and normalise it by the
same numbers.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from geopanoptic.errors import UsageError
from geopanoptic.pipeline.resuming.identity import Identity, differences

MANIFEST = "manifest.json"


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """One run: its identity, and what was chosen when it began."""

    identity: Identity
    block_px: int
    """Side of a stored block in output pixels."""
    normalisation: dict[str, Any]
    """As ``Normalisation.to_json`` gives it."""
    valid_share: dict[str, float] = field(default_factory=dict)
    """Share of valid pixels by date, as in ``FirstLook``."""
    warnings: tuple[str, ...] = ()
    """What whoever looked at the scene's pixels first found odd."""
    shards: int | None = None
    """Parts the run was cut into when it began; None: one process."""

    @property
    def seal(self) -> str:
        """Binds stored blocks to this run (see ``RunStore.seal``), hex."""
        bound = [self.identity, self.block_px, self.normalisation]
        return hashlib.blake2b(json.dumps(bound, sort_keys=True).encode(), digest_size=16).hexdigest()


def read_manifest(folder: Path) -> Manifest | None:
    """The manifest of a work folder; None where it has none. Raises UsageError for one that makes no sense."""
    path = folder / MANIFEST
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        return Manifest(**values | {"warnings": tuple(values["warnings"])})
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError, KeyError):
        raise UsageError(
            f"{path} is damaged, or comes from another version of geopanoptic.",
            remedy=f"Delete the folder {folder} and start the run again without --resume.",
        ) from None


def agree(folder: Path, proposed: Manifest) -> Manifest:
    """Put ``proposed`` into ``folder`` unless another process was there first; returns what counts.

    Raises UsageError where the other process is at another run.
    """
    partial = folder / f"{MANIFEST}.{uuid4().hex}.partial"
    partial.write_text(json.dumps(asdict(proposed), indent=1), encoding="utf-8")
    try:
        # A link, unlike a rename, fails where the name is taken.
        (folder / MANIFEST).hardlink_to(partial)
    except FileExistsError:
        pass
    except OSError:
        # File systems without links (exFAT, some network shares) serve one process at a time.
        partial.replace(folder / MANIFEST)
    finally:
        partial.unlink(missing_ok=True)
    stored = read_manifest(folder)
    if stored is None:
        raise UsageError(
            f"{folder} was cleared by another run at this moment.", remedy="Name another folder with --work."
        )
    require_same(stored.identity, proposed.identity, folder)
    return stored


def require_same(stored: Identity, found: Identity, folder: Path) -> None:
    """Raises UsageError, with every difference, where a folder's run is not the one that is asked for."""
    lines = differences(stored, found)
    if lines:
        listed = "\n".join(f"  - {line}" for line in lines)
        raise UsageError(
            f"{folder} holds another run, which this one cannot continue:\n{listed}",
            remedy="Ask for the same as then, or start afresh with another --work folder or without --resume.",
        )
