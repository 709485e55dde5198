"""Whether labels lie beside the edges that they follow in the image, how far, and how sure that is.

The image's edge strength is correlated with the labels' outlines over all offsets, in blocks, by FFT (Lewis,
"Fast normalized cross-correlation", 1995; here the outlines are sparse, so the local mean is taken off the image
once). Blocks vote on their own: an offset counts where the gain over no offset is significant in a t-test over
blocks, corrected for the number of offsets looked at (Bonferroni). So clean labels and labels that have nothing to
do with the image give no alarm. The offset is refined below a pixel by a parabola; its standard error is the
jackknife's over blocks.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import shapely
from numpy.typing import NDArray
from scipy import fft, ndimage, stats

from geopanoptic.labels.check.issue import Issue, Severity
from geopanoptic.labels.check.subject import Subject

BLOCK_PX = 32
"""Side of the blocks that vote."""
REGION_PX = 256
"""Side of the areas that are tested on their own, one every ``STEP_PX``; of those that overlap the surest counts."""
STEP_PX = 64
_FALSE_ALARM = 1e-3
_LEAST_BLOCKS = 6
_LEAST_OUTLINE_PX = 10
_STEP_PX = 0.5
_AT_ONCE = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Offset:
    """Where the edges are, seen from the labels, in pixels (columns to the right, rows down).

    ``t`` is the test's statistic over ``blocks`` blocks and ``t_needed`` what counts as significant;
    ``error_px`` is the standard error of each coordinate.
    """

    cols: float
    rows: float
    error_px: float
    t: float
    t_needed: float
    blocks: int

    @property
    def length_px(self) -> float:
        return float(np.hypot(self.cols, self.rows))

    @property
    def vector(self) -> NDArray[np.float64]:
        return np.array([self.cols, self.rows])

    @property
    def significant(self) -> bool:
        return self.t > self.t_needed

    def to_dict(self) -> dict[str, float | int | bool]:
        """JSON-ready values."""
        return {
            "columns_px": round(self.cols, 2),
            "rows_px": round(self.rows, 2),
            "error_px": round(self.error_px, 2),
            "t": round(self.t, 1),
            "t_needed": round(self.t_needed, 1),
            "blocks": self.blocks,
            "significant": self.significant,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Votes:
    """What every block says: ``score_bdd`` (blocks, 2r + 1, 2r + 1) by offset in rows and columns from -r to r,
    and the ``top`` row and ``left`` column of each block (blocks,)."""

    score_bdd: NDArray[np.float32]
    top: NDArray[np.int64]
    left: NDArray[np.int64]


def outline_density(outlines_px: NDArray[np.object_], shape: tuple[int, int]) -> NDArray[np.float32]:
    """(h, w) how much outline lies around each pixel's centre, 0 to 1; a shared border counts once.

    Lines are sampled at steps of half a pixel and shared out among the four pixels around, so that nothing is lost
    of positions below a pixel. The image's own border is no outline.
    """
    height, width = shape
    density = np.zeros((height + 2) * (width + 2), np.float64)
    lines = shapely.get_rings(shapely.get_parts(outlines_px))
    ends = shapely.get_coordinates(shapely.segmentize(lines, _STEP_PX), return_index=True)
    xy, of_line = ends
    same = of_line[1:] == of_line[:-1]
    middle = (xy[1:] + xy[:-1])[same] / 2
    length = np.hypot(*(xy[1:] - xy[:-1])[same].T)
    inside = ((middle > 0.5) & (middle < (width - 0.5, height - 0.5))).all(axis=1)
    x, y = (middle[inside] + 0.5).T
    col, row = np.floor(x).astype(np.int64), np.floor(y).astype(np.int64)
    for down in (0, 1):
        for right in (0, 1):
            share = np.where(down, y - row, 1 - y + row) * np.where(right, x - col, 1 - x + col)
            place = (row + down) * (width + 2) + col + right
            density += np.bincount(place, share * length[inside], minlength=len(density))
    return np.minimum(density.reshape(height + 2, width + 2)[1:-1, 1:-1], 1.0).astype(np.float32)


def votes(density_hw: NDArray[np.float32], edges_hw: NDArray[np.float32], reach_px: int) -> Votes:
    """The score of every offset in every block with enough outline: edge strength under the moved outlines."""
    height, width = density_hw.shape
    contrast = edges_hw - ndimage.uniform_filter(edges_hw, 2 * reach_px + 1, mode="reflect")
    padded = np.pad(contrast, reach_px)
    tops, lefts = (
        each.ravel()
        for each in np.meshgrid(np.arange(0, height, BLOCK_PX), np.arange(0, width, BLOCK_PX), indexing="ij")
    )
    weight = np.array(
        [
            density_hw[t : t + BLOCK_PX, c : c + BLOCK_PX].sum()
            for t, c in zip(tops.tolist(), lefts.tolist(), strict=True)
        ]
    )
    tops, lefts = tops[weight >= _LEAST_OUTLINE_PX], lefts[weight >= _LEAST_OUTLINE_PX]
    side = BLOCK_PX + 2 * reach_px
    size = fft.next_fast_len(side, real=True)
    scores = np.zeros((len(tops), 2 * reach_px + 1, 2 * reach_px + 1), np.float32)
    for k in range(0, len(tops), _AT_ONCE):
        places = list(zip(tops[k : k + _AT_ONCE].tolist(), lefts[k : k + _AT_ONCE].tolist(), strict=True))
        template = np.zeros((len(places), size, size), np.float32)
        scene = np.zeros((len(places), size, size), np.float32)
        for n, (top, left) in enumerate(places):
            block = density_hw[top : top + BLOCK_PX, left : left + BLOCK_PX]
            around = padded[top : top + side, left : left + side]
            template[n, : block.shape[0], : block.shape[1]] = block
            scene[n, : around.shape[0], : around.shape[1]] = around
        product = fft.rfft2(scene) * np.conj(fft.rfft2(template))
        surface = fft.irfft2(product, s=(size, size))
        scores[k : k + _AT_ONCE] = surface[:, : 2 * reach_px + 1, : 2 * reach_px + 1]
    return Votes(score_bdd=scores, top=tops, left=lefts)


def offset_of(score_bdd: NDArray[np.float32], *, than: Offset | None = None, looks: int = 1) -> Offset | None:
    """The offset that blocks agree on, and whether it is significantly better than another (none, or ``than``).

    ``looks`` is how many such questions are asked of the same ground. None for too few blocks.
    """
    blocks, side, _ = score_bdd.shape
    if blocks < _LEAST_BLOCKS:
        return None
    reach = side // 2
    total = score_bdd.sum(axis=0, dtype=np.float64)
    row, col = np.unravel_index(int(np.argmax(total)), total.shape)
    base = (reach, reach) if than is None else (reach + round(than.rows), reach + round(than.cols))
    gain = (score_bdd[:, row, col] - score_bdd[:, base[0], base[1]]).astype(np.float64)
    spread = gain.std(ddof=1)
    t = float(gain.mean() / (spread / np.sqrt(blocks))) if spread > 0 else 0.0
    t_needed = float(stats.t.isf(_FALSE_ALARM / (looks * side**2), blocks - 1))
    at_edge = not (0 < row < side - 1 and 0 < col < side - 1)
    peak = (slice(row - 1, row + 2), slice(col - 1, col + 2))
    whole = np.zeros(2) if at_edge else _refined(total[peak])
    left_out = np.zeros((blocks, 2)) if at_edge else _refined(total[peak] - score_bdd[:, peak[0], peak[1]])
    error = np.sqrt((blocks - 1) * left_out.var(axis=0).mean())
    return Offset(
        cols=float(col - reach + whole[..., 1]),
        rows=float(row - reach + whole[..., 0]),
        error_px=float(error),
        t=t,
        t_needed=t_needed,
        blocks=blocks,
    )


def shifts(subject: Subject, edges_hw: NDArray[np.float32]) -> tuple[Offset | None, list[Issue]]:
    """The offset of all labels together, and issues: for all, and for regions that deviate from it."""
    reach = subject.limits.largest_shift_px
    cast = votes(outline_density(subject.outlines_px, edges_hw.shape), edges_hw, reach)
    whole = offset_of(cast.score_bdd)
    box = subject.image_box
    if whole is None or box is None:
        return whole, []
    found = []
    least = subject.limits.least_shift_px
    if whole.significant and whole.length_px >= least:
        found.append(_issue("error", "All labels lie", whole, box))
    common = whole if whole.significant else None
    deviating = [
        (region, offset)
        for region, offset in _regions(cast, common)
        if offset.significant
        and np.hypot(*(offset.vector - (0.0 if common is None else common.vector))) >= least
    ]
    taken: list[shapely.Polygon] = []
    for region, offset in sorted(deviating, key=lambda each: -each[1].t):
        if not any(region.intersection(other).area for other in taken):
            taken.append(region)
            place = subject.from_pixels(np.array([region], dtype=object))[0]
            found.append(_issue("warning", "Labels in this part lie", offset, place))
    return whole, found


def _regions(cast: Votes, common: Offset | None) -> Iterator[tuple[shapely.Polygon, Offset]]:
    """Squares of blocks and what their blocks agree on, rather than on what all have in common."""
    last_top, last_left = int(cast.top.max(initial=0)), int(cast.left.max(initial=0))
    for top in range(0, max(last_top + BLOCK_PX - REGION_PX, 0) + 1, STEP_PX):
        in_rows = np.flatnonzero((cast.top >= top) & (cast.top < top + REGION_PX))
        for left in range(0, max(last_left + BLOCK_PX - REGION_PX, 0) + 1, STEP_PX):
            cols = cast.left[in_rows]
            members = in_rows[(cols >= left) & (cols < left + REGION_PX)]
            offset = offset_of(cast.score_bdd[members], than=common, looks=(REGION_PX // STEP_PX) ** 2)
            if offset is not None:
                yield shapely.box(left, top, left + REGION_PX, top + REGION_PX), offset


def _refined(peak: NDArray[np.float64]) -> NDArray[np.float64]:
    """(..., 3, 3) scores around peaks to (..., 2) offsets in rows and columns below a pixel, of parabolas."""
    middle = peak[..., 1, 1]
    found = []
    for before, after in ((peak[..., 0, 1], peak[..., 2, 1]), (peak[..., 1, 0], peak[..., 1, 2])):
        curvature = before - 2 * middle + after
        step = np.divide((before - after) / 2, curvature, out=np.zeros_like(curvature), where=curvature < 0)
        found.append(np.clip(step, -1, 1))
    return np.stack(found, axis=-1)


def _issue(severity: Severity, which: str, offset: Offset, place: shapely.Geometry) -> Issue:
    across = f"{abs(offset.cols):.1f} px {'right' if offset.cols > 0 else 'left'}"
    along = f"{abs(offset.rows):.1f} px {'down' if offset.rows > 0 else 'up'}"
    sure = f"± {offset.error_px:.1f} px, t = {offset.t:.1f} over {offset.blocks} blocks"
    return Issue(
        kind="shift",
        severity=severity,
        message=f"{which} beside the image's edges: move them {across} and {along} ({sure}).",
        geometry=place,
        amount=offset.length_px,
    )
