"""PaPs heads: parcels drawn from known outputs, and what is left of them."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from geopanoptic.grid import Window
from geopanoptic.models.manifest import PAPS_BOX_PX
from geopanoptic.models.networks.paps import (
    SHAPE_PX,
    AtCentres,
    Box,
    PapsHeads,
    PapsRules,
    draw_parcels,
    find_parcels,
)

THINGS = (0, 2)
Centre = tuple[int, int, float, int, tuple[int, int]]


class Stated(PapsHeads):
    """Heads that state what they are told: (row, column, confidence, class, size) of every centre."""

    def __init__(self, centres: list[Centre], *, refined: bool = False) -> None:
        super().__init__(n_channels=4, level_channels=(), n_classes=3, refined=refined)
        self.told = {(row, col): (number, size) for row, col, _, number, size in centres}

    def at(self, outputs: object, row_n: Tensor, col_n: Tensor) -> AtCentres:
        told = [self.told[place] for place in zip(row_n.tolist(), col_n.tolist(), strict=True)]
        return AtCentres(
            size_n2=torch.tensor([size for _, size in told], dtype=torch.float32),
            semantic_nk=functional.one_hot(torch.tensor([number for number, _ in told]), 3).float(),
            shape_n1ss=torch.full((len(told), 1, SHAPE_PX, SHAPE_PX), 6.0),
        )


def outputs_of(centres: list[Centre], side_px: int = 40) -> dict[str, Tensor]:
    """Nothing but the centres; salient everywhere."""
    outputs = {
        "heat": torch.full((1, side_px, side_px), -9.0),
        "saliency": torch.full((1, side_px, side_px), 6.0),
    }
    for row, col, confidence, _, _ in centres:
        outputs["heat"][0, row, col] = torch.logit(torch.tensor(confidence))
    return outputs


def drawn(centres: list[Centre], rules: PapsRules | None = None) -> tuple[Tensor, list[int]]:
    return draw_parcels(Stated(centres), outputs_of(centres), things=THINGS, rules=rules)


def test_parcels_are_boxes_of_the_predicted_size_around_their_centres() -> None:
    parcels, classes = drawn([(10, 10, 0.9, 0, (8, 12)), (28, 28, 0.7, 2, (6, 6))])
    expected = torch.zeros(40, 40, dtype=torch.int32)
    expected[6:14, 4:16] = 1
    expected[25:31, 25:31] = 2
    assert torch.equal(parcels, expected)
    assert classes == [0, 2]


def test_the_confident_come_first_and_the_hidden_are_dropped() -> None:
    near: list[Centre] = [(10, 10, 0.6, 0, (8, 8)), (10, 13, 0.9, 0, (8, 8))]
    parcels, classes = drawn(near)
    # Five of eight columns of the second are hidden: less than half remains.
    assert len(classes) == 1
    assert (parcels == 1).sum() == 64
    parcels, classes = drawn(near, PapsRules(min_remain=0.3))
    assert [int((parcels == number).sum()) for number in (1, 2)] == [64, 24]


def test_low_confidence_makes_no_parcel_and_stuff_is_no_class_of_one() -> None:
    parcels, classes = drawn([(10, 10, 0.15, 0, (8, 8)), (30, 30, 0.5, 1, (4, 4))])
    assert classes == [0]
    assert parcels[10, 10] == 0
    assert drawn([])[1] == []


def test_saliency_cuts_and_the_edge_crops_the_shape() -> None:
    centres: list[Centre] = [(2, 20, 0.9, 0, (10, 10))]
    outputs = outputs_of(centres)
    outputs["saliency"][0, :, 20:] = -20.0
    heads = Stated(centres)
    parcels, _ = draw_parcels(heads, outputs, things=THINGS)
    assert (parcels[:7, 15:20] == 1).all()
    assert (parcels > 0).sum() == 35
    box = Box.around((2, 20), (10, 10), (40, 40))
    assert (box.rows, box.cols, box.top) == (slice(0, 7), slice(15, 25), -3)
    # Two probabilities, multiplied.
    probability = heads.mask_log_probability(
        torch.full((1, 16, 16), 6.0), torch.full((1, 40, 40), 1.0), box
    ).exp()
    assert probability.shape == (7, 10)
    assert float(probability[0, 0]) == pytest.approx(1 / (1 + math.exp(-6)) / (1 + math.exp(-1)), rel=1e-5)


def test_no_box_is_larger_than_a_patch_or_smaller_than_a_pixel() -> None:
    box = Box.around((500, 500), (10_000, 0), (1000, 1000))
    assert (box.height, box.width) == (PAPS_BOX_PX, 1)
    assert (box.rows, box.cols) == (slice(372, 628), slice(500, 501))


def test_centres_are_looked_for_in_the_core_only() -> None:
    centres: list[Centre] = [(10, 10, 0.9, 0, (8, 12)), (28, 28, 0.7, 2, (6, 6))]
    found = find_parcels(
        Stated(centres),
        outputs_of(centres),
        things=THINGS,
        rules=PapsRules(),
        core=Window(20, 20, 40, 40),
    )
    assert [(each.centre_px, each.thing) for each in found] == [((28, 28), 2)]


def test_heads_read_every_level_at_the_centres_and_refine_masks() -> None:
    torch.manual_seed(0)
    heads = PapsHeads(n_channels=8, level_channels=(6, 4), n_classes=19, refined=True).eval()
    finest, levels = torch.randn(2, 8, 16, 16), [torch.randn(2, 6, 2, 2), torch.randn(2, 4, 4, 4)]
    outputs = heads(finest, levels)
    assert {name: tuple(each.shape[1:]) for name, each in outputs.items()} == {
        "heat": (1, 16, 16), "saliency": (1, 16, 16), "level0": (8, 16, 16), "level1": (6, 2, 2), "level2": (4, 4, 4),
    }  # fmt: skip
    of_first = {name: each[0] for name, each in outputs.items()}
    rows, cols = torch.tensor([3, 13]), torch.tensor([9, 15])
    stated = heads.at(of_first, rows, cols)
    read = torch.cat(
        [finest[0, :, rows, cols], levels[0][0, :, [0, 1], 1], levels[1][0, :, [0, 3], [2, 3]]]
    ).T
    torch.testing.assert_close(stated.semantic_nk, heads.semantic(read))
    assert (stated.size_n2 > 0).all()
    box = Box.around((3, 9), (6, 5), (16, 16))
    plain = PapsHeads(n_channels=8, level_channels=(6, 4), n_classes=19, refined=False)
    assert plain.refining is None
    refined = heads.mask_log_probability(stated.shape_n1ss[0], of_first["saliency"], box)
    assert refined.shape == (6, 5)
    assert (refined < 0).all()
    rough = plain.mask_log_probability(stated.shape_n1ss[0], of_first["saliency"], box)
    assert not torch.allclose(refined, rough)
