"""The masks of an ``.npz`` file one after the other: a detector's masks of a tile may take gigabytes at once."""

from __future__ import annotations

import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from geopanoptic.npy import read_header


@dataclass(frozen=True, slots=True, kw_only=True)
class MaskStack:
    """An array (n, H, W) or (n, 1, H, W) in an archive; iteration reads a mask (H, W) at a time."""

    archive: Path
    name: str
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @classmethod
    def of(cls, archive: Path, name: str) -> MaskStack | None:
        """The array of that name; None where it is none of that shape, or does not lie mask by mask."""
        with zipfile.ZipFile(archive) as opened, opened.open(f"{name}.npy") as file:
            shape, by_column, dtype = read_header(file)
        whole = len(shape) == 3 or (len(shape) == 4 and shape[1] == 1)
        if not whole or by_column or dtype.hasobject:
            return None
        return cls(archive=archive, name=name, shape=shape, dtype=dtype)

    def __len__(self) -> int:
        return self.shape[0]

    def __iter__(self) -> Iterator[NDArray[Any]]:
        """Raises ``ValueError`` where the file ends early."""
        with zipfile.ZipFile(self.archive) as opened, opened.open(f"{self.name}.npy") as file:
            read_header(file)
            size = prod(self.shape[1:]) * self.dtype.itemsize
            for _ in range(len(self)):
                values = np.frombuffer(file.read(size), self.dtype)
                yield values.reshape(self.shape[-2:])
