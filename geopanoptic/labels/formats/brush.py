"""Run lengths of Label Studio's brush: the format ``rle`` of its masks.

A bit stream of a picture of four equal bytes per pixel, as thi.ng's rle-pack writes it: 32 bits for the number of
bytes, 5 for the size of a value less one, four times 4 for the sizes of counts less one; then blocks of a flag
(1: one value repeated, 0: as many values as counted), 2 bits that choose the size of the count, the count less
one, and the values.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

_VALUE_BITS = 8
_COUNT_BITS = (3, 4, 8, 16)
_LONGEST = 2 ** _COUNT_BITS[-1]
_SET = 255
_CHANNELS = 4


def encode(mask_hw: NDArray[np.bool_]) -> list[int]:
    """Bytes of the run lengths of a mask (h, w)."""
    flat = mask_hw.ravel()
    starts = (
        np.concatenate([[0], np.flatnonzero(flat[1:] != flat[:-1]) + 1])
        if len(flat)
        else np.zeros(0, np.int64)
    )
    lengths = np.diff(starts, append=len(flat)) * _CHANNELS
    bits = [
        _bits(len(flat) * _CHANNELS, 32),
        _bits(_VALUE_BITS - 1, 5),
        *(_bits(size - 1, 4) for size in _COUNT_BITS),
    ]
    for start, length in zip(starts.tolist(), lengths.tolist(), strict=True):
        value = _bits(_SET if flat[start] else 0, _VALUE_BITS)
        while length:
            part = min(length, _LONGEST)
            length -= part
            choice = next(k for k, size in enumerate(_COUNT_BITS) if part <= 2**size)
            bits += [_bits(1, 1), _bits(choice, 2), _bits(part - 1, _COUNT_BITS[choice]), value]
    return np.packbits(np.concatenate(bits)).tolist()


def decode(rle: list[int], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """The mask (h, w). Raises ValueError for a stream that ends early or is of another size."""
    bits = np.unpackbits(np.asarray(rle, np.uint8))
    at = 0

    def take(count: int) -> int:
        nonlocal at
        if at + count > len(bits):
            raise ValueError("the run lengths of the brush end early")
        part = bits[at : at + count]
        at += count
        return int("".join(map(str, part.tolist())), 2)

    total, value_bits = take(32), take(5) + 1
    sizes = [take(4) + 1 for _ in range(4)]
    if total != shape[0] * shape[1] * _CHANNELS:
        raise ValueError(
            f"the brush has {total} values, {shape[0]} x {shape[1]} pixels need {shape[0] * shape[1] * 4}"
        )
    values = np.zeros(total, np.uint16)
    place = 0
    while place < total:
        repeated = take(1)
        count = take(sizes[take(2)]) + 1
        end = place + count
        if repeated:
            values[place:end] = take(value_bits)
        else:
            for k in range(place, min(end, total)):
                values[k] = take(value_bits)
        place = end
    # The last byte of a pixel is its opacity.
    return values.reshape(*shape, _CHANNELS)[..., -1] > 0


def _bits(value: int, count: int) -> NDArray[np.uint8]:
    return np.array([value >> shift & 1 for shift in range(count - 1, -1, -1)], np.uint8)
