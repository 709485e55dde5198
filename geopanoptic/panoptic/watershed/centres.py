"""Centres: the pixels whose heat is the strict maximum of the square window around them.

Heat is compared as (heat, -pixel index), a total order, so a plateau yields one centre per neighbourhood
and every block finds the same ones: a centre is decided by its window alone.
"""

from __future__ import annotations

import numpy as np
from numba import njit
from numpy.typing import NDArray

from geopanoptic.grid import Window


def find_centres(
    heat_u16: NDArray[np.uint16],
    domain: NDArray[np.bool_],
    core: Window,
    window: Window,
    scene_width: int,
    radius_px: int,
    threshold_u16: int,
    device: str = "cpu",
) -> NDArray[np.int64]:
    """Scene pixel indices (row * scene_width + col, ascending, int64) of the centres inside ``core``.

    ``heat_u16`` and ``domain`` are (h, w) and cover ``window``, which reaches ``radius_px`` beyond ``core``
    wherever the scene does. A centre has heat >= ``threshold_u16`` and beats every other pixel of its
    (2 * radius_px + 1)^2 window, by heat or, where equal, by the smaller index. Pixels outside ``domain``,
    hence nodata and all that lies outside the scene, neither become a centre nor compete. On a GPU as ``device`` of
    torch they are the same; where it has no room, the processor finds them.

    Raises ValueError where shapes or dtypes do not fit or ``core`` leaves ``window``.
    """
    if heat_u16.shape != window.shape or domain.shape != window.shape:
        raise ValueError(f"heat {heat_u16.shape} and domain {domain.shape} must be {window.shape}")
    if heat_u16.dtype != np.uint16 or domain.dtype != np.bool_:
        raise ValueError(f"heat must be uint16 and domain bool, not {heat_u16.dtype} and {domain.dtype}")
    if window.intersection(core) != core:
        raise ValueError(f"the core {core} is empty or leaves the window {window}")
    if radius_px < 0:
        raise ValueError(f"radius_px must not be negative, not {radius_px}")
    rows, cols = core.slices(window)
    within = (rows.start, rows.stop, cols.start, cols.stop)
    heat, domain = np.multiply(heat_u16, domain, order="C"), np.ascontiguousarray(domain)
    pixels = (
        None if device == "cpu" else _strict_maxima_on(device, heat, domain, within, radius_px, threshold_u16)
    )
    if pixels is None:
        pixels = _strict_maxima(heat, domain, within, radius_px, threshold_u16)
    return (pixels[:, 0] + window.row0) * scene_width + pixels[:, 1] + window.col0


@njit(nogil=True, cache=True)
def _strict_maxima(
    heat: NDArray[np.uint16],
    domain: NDArray[np.bool_],
    core: tuple[int, int, int, int],
    radius: int,
    threshold: int,
) -> NDArray[np.int64]:
    """(row, col) of each centre, int64 (n, 2), row by row; ``heat`` is 0 outside ``domain``."""
    height, width = heat.shape
    row0, row1, col0, col1 = core
    of_columns = np.zeros(width + 2 * radius, np.uint16)
    of_window = np.empty(width, np.uint16)
    found = np.empty((1024, 2), np.int64)
    count = 0
    for row in range(row0, row1):
        # The maximum over a square, first down the columns, then along the row: plain loops vectorise.
        column_maximum = of_columns[radius : radius + width]
        column_maximum[:] = 0
        for other in range(max(row - radius, 0), min(row + radius + 1, height)):
            for col in range(width):
                column_maximum[col] = max(column_maximum[col], heat[other, col])
        of_window[:] = 0
        for shift in range(2 * radius + 1):
            for col in range(width):
                of_window[col] = max(of_window[col], of_columns[col + shift])

        for col in range(col0, col1):
            if heat[row, col] != of_window[col] or heat[row, col] < threshold or not domain[row, col]:
                continue
            if _equalled_before(heat, domain, row, col, radius):
                continue
            if count == len(found):
                found = np.concatenate((found, np.empty_like(found)))
            found[count, 0], found[count, 1] = row, col
            count += 1
    return found[:count].copy()


def _strict_maxima_on(
    device: str,
    heat: NDArray[np.uint16],
    domain: NDArray[np.bool_],
    core: tuple[int, int, int, int],
    radius: int,
    threshold: int,
) -> NDArray[np.int64] | None:
    """As ``_strict_maxima``, whose windows are compared on a device of torch; None where that has no room."""
    import torch

    row0, row1, col0, col1 = core
    try:
        # torch computes little with uint16; the greatest is exact in float32.
        values = (torch.from_numpy(heat.view(np.int16)).to(device).int() & 0xFFFF).float()[None]
        highest = values
        for size in ((2 * radius + 1, 1), (1, 2 * radius + 1)):
            pad = (size[0] // 2, size[1] // 2)
            highest = torch.nn.functional.max_pool2d(highest, size, stride=1, padding=pad)
        found = (values == highest) & (values >= threshold) & torch.from_numpy(domain).to(device)
        pixels = found[0, row0:row1, col0:col1].nonzero().cpu().numpy()
    except RuntimeError:
        return None
    pixels += (row0, col0)
    return pixels[_comes_first(heat, domain, pixels, radius)]


@njit(nogil=True, cache=True)
def _comes_first(
    heat: NDArray[np.uint16], domain: NDArray[np.bool_], pixels: NDArray[np.int64], radius: int
) -> NDArray[np.bool_]:
    """Which of the pixels (n, 2), each of the greatest heat in its window, none of smaller index equals."""
    first = np.empty(len(pixels), np.bool_)
    for number in range(len(pixels)):
        first[number] = not _equalled_before(heat, domain, pixels[number, 0], pixels[number, 1], radius)
    return first


@njit(nogil=True, cache=True)
def _equalled_before(
    heat: NDArray[np.uint16], domain: NDArray[np.bool_], row: int, col: int, radius: int
) -> bool:
    """Whether a domain pixel of smaller index in the window has the same heat."""
    for other_row in range(row, max(row - radius, 0) - 1, -1):
        for other_col in range(max(col - radius, 0), min(col + radius + 1, heat.shape[1])):
            if other_row == row and other_col >= col:
                break
            if heat[other_row, other_col] == heat[row, col] and domain[other_row, other_col]:
                return True
    return False
