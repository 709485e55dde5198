"""PaPs heads: parcels drawn from known outputs, and what is left of them."""

from __future__ import annotations

import torch

from geopanoptic.models.paps import SHAPE_PX, PapsRules, draw_parcels, mask_logits, paps_heads

THINGS = (0, 2)


def outputs_of(
    centres: list[tuple[int, int, float, int, tuple[int, int]]], side_px: int = 40
) -> dict[str, torch.Tensor]:
    """Full rectangles: (row, column, confidence, class, size) of each; nothing elsewhere."""
    outputs = {
        "heat": torch.full((1, side_px, side_px), -9.0),
        "saliency": torch.zeros(1, side_px, side_px),
        "size": torch.full((2, side_px, side_px), 4.0),
        "semantic": torch.zeros(3, side_px, side_px),
        "shape": torch.full((SHAPE_PX**2, side_px, side_px), 6.0),
    }
    for row, col, confidence, number, size in centres:
        outputs["heat"][0, row, col] = torch.logit(torch.tensor(confidence))
        outputs["size"][:, row, col] = torch.tensor(size).expm1().log()  # what the softplus undoes
        outputs["semantic"][number, row, col] = 5.0
    return outputs


def test_parcels_are_boxes_of_the_predicted_size_around_their_centres() -> None:
    outputs = outputs_of([(10, 10, 0.9, 0, (8.0, 12.0)), (28, 28, 0.7, 2, (6.0, 6.0))])
    parcels, classes = draw_parcels(outputs, things=THINGS)
    expected = torch.zeros(40, 40, dtype=torch.int32)
    expected[6:14, 4:16] = 1
    expected[25:31, 25:31] = 2
    assert torch.equal(parcels, expected)
    assert classes == [0, 2]


def test_the_confident_come_first_and_the_hidden_are_dropped() -> None:
    near = outputs_of([(10, 10, 0.6, 0, (8.0, 8.0)), (10, 13, 0.9, 0, (8.0, 8.0))])
    parcels, classes = draw_parcels(near, things=THINGS)
    # Five of eight columns of the second are hidden: less than half remains.
    assert len(classes) == 1
    assert (parcels == 1).sum() == 64
    parcels, classes = draw_parcels(near, things=THINGS, rules=PapsRules(min_remain=0.3))
    assert [int((parcels == number).sum()) for number in (1, 2)] == [64, 24]


def test_low_confidence_and_stuff_make_no_parcel() -> None:
    outputs = outputs_of([(10, 10, 0.15, 0, (8.0, 8.0)), (30, 30, 0.5, 1, (4.0, 4.0))])
    outputs["semantic"][2, 30, 30] = 1.0
    parcels, classes = draw_parcels(outputs, things=THINGS)
    assert classes == [2]
    assert parcels[10, 10] == 0


def test_saliency_cuts_and_the_edge_crops_the_shape() -> None:
    outputs = outputs_of([(2, 20, 0.9, 0, (10.0, 10.0))])
    outputs["saliency"][0, :, 20:] = -20.0
    parcels, _ = draw_parcels(outputs, things=THINGS)
    assert (parcels[:7, 15:20] == 1).all()
    assert (parcels > 0).sum() == 35
    box, logits = mask_logits(outputs, (2, 20), (10, 10))
    assert box == (slice(0, 7), slice(15, 25))
    assert logits.shape == (7, 10)


def test_heads_have_the_stated_widths() -> None:
    heads = paps_heads(8, 19)
    maps = {name: head(torch.zeros(2, 8, 6, 6)).shape for name, head in heads.items()}
    assert {name: shape[1] for name, shape in maps.items()} == {
        "heat": 1, "saliency": 1, "size": 2, "semantic": 19, "shape": 256,
    }  # fmt: skip
