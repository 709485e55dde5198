"""Fingerprints of input files: enough to notice any change that happens by itself or by mistake.

A fingerprint is name, size, time of the last change, and a hash of the first 64 KiB, the last 64 KiB and 30
pieces between them. The whole file is not hashed: that reads at about 1 GB/s at best, as fast as a run maps,
so it would double the time of a run that needs every byte only once. An edit in place changes the time; a
file that was replaced while its time was kept (``cp -p``, ``rsync -a``) has other bytes nearly everywhere,
for compressed pixels; and headers, where GeoTIFFs keep their layout, lie at one of the two ends.
"""

from __future__ import annotations

import datetime
import hashlib
import os
from pathlib import Path

from geopanoptic.errors import SceneError

PIECE_BYTES = 64 << 10
PIECES = 32

Fingerprint = dict[str, str | int]


def fingerprint(path: Path) -> Fingerprint:
    """``size_bytes``, ``modified`` (UTC) and ``content`` (hex) of a file.

    Raises SceneError where it cannot be read.
    """
    try:
        with path.open("rb") as file:
            status = os.fstat(file.fileno())
            digest = hashlib.blake2b(digest_size=16)
            for start in _starts(status.st_size):
                file.seek(start)
                digest.update(file.read(PIECE_BYTES))
    except OSError as failure:
        raise SceneError(
            f"{path} cannot be read: {failure.strerror}.", remedy="Check that it is there and may be read."
        ) from None
    seconds, nanoseconds = divmod(status.st_mtime_ns, 10**9)
    moment = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return {
        "size_bytes": status.st_size,
        "modified": f"{moment:%Y-%m-%d %H:%M:%S}.{nanoseconds:09d} UTC",
        "content": digest.hexdigest(),
    }


def _starts(size_bytes: int) -> list[int]:
    """Where the pieces begin, ascending; a file of up to ``PIECES`` pieces is read whole."""
    if size_bytes <= PIECES * PIECE_BYTES:
        return list(range(0, size_bytes, PIECE_BYTES))
    last = size_bytes - PIECE_BYTES
    return [last * number // (PIECES - 1) for number in range(PIECES)]
