"""The rules against their papers' formulas, and choices by score against canvases painted one by one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from geopanoptic.errors import UsageError
from geopanoptic.grid import Window
from geopanoptic.panoptic.fusion.greedy import largest_parts, take_visible
from geopanoptic.panoptic.fusion.logits import (
    LOGIT_LIMIT,
    LOGIT_UNIT,
    SIGMOID_UNIT,
    fixed_logits,
    logits_of_u8,
    sigmoids,
)
from geopanoptic.panoptic.fusion.overlaps import Claim, overlap_cells, take_visible_instances
from geopanoptic.panoptic.fusion.rules import (
    FUSION_RULES,
    INSTANCE,
    STUFF,
    UNKNOWN,
    Ground,
    by_adaptive_fusion,
    fusion_named,
)
from geopanoptic.panoptic.graph.contacts import gather_contacts
from geopanoptic.panoptic.parcels.disjoint import best_disjoint


def test_fixed_logits_are_those_of_floats():
    values = np.array([-3.2, 0.0, 0.7, 40.0, -np.inf, np.nan])
    np.testing.assert_allclose(
        fixed_logits(values) / LOGIT_UNIT, [-3.2, 0, 0.7, 16, -16, -16], atol=0.5 / LOGIT_UNIT
    )
    probability = np.arange(1, 255) / 255
    np.testing.assert_allclose(
        logits_of_u8(np.arange(1, 255)) / LOGIT_UNIT, np.log(probability / (1 - probability)), atol=0.01
    )
    assert (np.diff(logits_of_u8(np.arange(256))) > 0).all()
    np.testing.assert_allclose(
        sigmoids(fixed_logits(np.array([-1.0, 0, 2]))) / SIGMOID_UNIT, [0.26894, 0.5, 0.8808], atol=1e-4
    )


@pytest.mark.parametrize(
    "dtype",
    ["bool", "int8", "uint8", "int16", "uint16", "int32", "uint32", "int64", "uint64", "float16", "float32"],
)
def test_fixed_logits_are_the_same_of_every_type(dtype):
    limits = (0, 1) if dtype == "bool" else (np.finfo if dtype.startswith("f") else np.iinfo)(dtype)
    low, high = limits if dtype == "bool" else (limits.min, limits.max)
    values = np.array([low, 0, 1, high, 127 if high > 1 else 1], dtype)
    np.testing.assert_array_equal(fixed_logits(values), fixed_logits(values.astype(np.float64)))


@given(a=st.floats(-12, 12), b=st.floats(-12, 12))
def test_adaptive_fusion_is_the_formula_of_efficientps(a, b):
    fused = by_adaptive_fusion(fixed_logits(np.array([a])), fixed_logits(np.array([b])))
    expected = (1 / (1 + np.exp(-a)) + 1 / (1 + np.exp(-b))) * (a + b)
    assert fused[0] / SIGMOID_UNIT / LOGIT_UNIT == pytest.approx(expected, abs=0.02)


def ground(*, claimed: bool, mask=0.0, semantic=0.0, thing=0.0, stuff=0.0) -> Ground:
    logits = {"mask": mask, "semantic": semantic, "thing": thing, "stuff": stuff}
    return Ground(
        claimed=np.array([claimed]), **{key: fixed_logits(np.array([each])) for key, each in logits.items()}
    )


@pytest.mark.parametrize(
    ("evidence", "upsnet", "efficientps", "lps"),
    [
        ({"claimed": True, "mask": 2, "semantic": 1, "thing": 1, "stuff": -1}, INSTANCE, INSTANCE, INSTANCE),
        ({"claimed": True, "mask": 0.5, "semantic": -1, "thing": -1, "stuff": 1}, STUFF, STUFF, STUFF),
        # 2 + 1 > 2.5 for UPSNet; doubt counts less for EfficientPS, and semantics alone say stuff.
        ({"claimed": True, "mask": 2, "semantic": 1, "thing": 1, "stuff": 2.5}, INSTANCE, INSTANCE, STUFF),
        # A thing that no instance claims.
        ({"claimed": False, "thing": 3, "stuff": -3}, UNKNOWN, STUFF, UNKNOWN),
        # Another class than the instance's is much more probable here: the instance is missing.
        (
            {"claimed": True, "mask": 0.1, "semantic": -4, "thing": 4, "stuff": -5},
            UNKNOWN,
            INSTANCE,
            INSTANCE,
        ),
        ({"claimed": False, "thing": -2, "stuff": 2}, STUFF, STUFF, STUFF),
    ],
)
def test_verdicts_on_a_pixel(evidence, upsnet, efficientps, lps):
    for name, expected in (("upsnet", upsnet), ("efficientps", efficientps), ("lps", lps)):
        assert FUSION_RULES[name].verdict(ground(**evidence)).tolist() == [expected], name


def test_names_are_checked():
    assert fusion_named("lps").name == "lps"
    with pytest.raises(UsageError, match="efficientps"):
        fusion_named("efficient-ps")


def random_tree(rng: np.random.Generator, n_leaves: int) -> tuple[np.ndarray, np.ndarray]:
    """Children and parents of a forest over the leaves."""
    roots, children = list(range(n_leaves)), []
    while len(roots) > 1 and rng.random() > 0.05:
        a, b = (roots.pop(int(rng.integers(len(roots)))) for _ in range(2))
        roots.append(n_leaves + len(children))
        children.append((min(a, b), max(a, b)))
    children = np.array(children, np.int64).reshape(-1, 2)
    parent = np.full(n_leaves + len(children), -1)
    parent[children] = np.arange(n_leaves, len(parent))[:, None]
    return children, parent


@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_a_greedy_choice_from_a_tree_is_that_of_a_canvas(seed, share):
    rng = np.random.default_rng(seed)
    n_leaves = int(rng.integers(1, 14))
    children, parent = random_tree(rng, n_leaves)
    leaves_of = [{leaf} for leaf in range(n_leaves)]
    for a, b in children:
        leaves_of.append(leaves_of[a] | leaves_of[b])
    leaf_px = rng.integers(1, 50, n_leaves)
    area_px = np.array([sum(leaf_px[leaf] for leaf in each) for each in leaves_of])
    order = rng.permutation(len(parent))[: int(rng.integers(0, len(parent) + 1))]
    chosen = take_visible(n_leaves, children, parent, area_px, order, share)
    taken, expected = set(), np.zeros(len(parent), bool)
    for node in order:
        left = leaves_of[node] - taken
        left_px = sum(leaf_px[leaf] for leaf in left)
        if left_px and left_px >= share * area_px[node]:
            expected[node] = True
            taken |= left
    np.testing.assert_array_equal(chosen, expected)
    assert best_disjoint(n_leaves, children, np.ones(len(parent))).any()


@given(seed=st.integers(0, 10_000), share=st.sampled_from([0.0, 0.5, 0.8]), block=st.integers(2, 20))
def test_overlapping_instances_are_chosen_as_on_a_canvas_whatever_the_blocks(seed, share, block):
    rng = np.random.default_rng(seed)
    scene = Window(0, 0, 15, 13)
    claims = []
    for number in range(int(rng.integers(0, 8))):
        row, col = int(rng.integers(0, 12)), int(rng.integers(0, 10))
        window = Window(row, col, int(rng.integers(row + 1, 16)), int(rng.integers(col + 1, 14)))
        mask = rng.choice([LOGIT_LIMIT, -LOGIT_LIMIT], window.shape).astype(np.int32)
        claims.append(Claim(instance=number, window=window, mask=mask))
    cells = overlap_cells([], scene)
    for part in scene.blocks(block):
        inside = [
            Claim(
                instance=each.instance,
                window=common,
                mask=each.mask[common.slices(each.window)],
            )
            for each in claims
            if (common := each.window.intersection(part))
        ]
        cells.update(overlap_cells(inside, part))
    kept = take_visible_instances(cells, len(claims), share)
    canvas, expected = np.zeros(scene.shape, bool), []
    for each in claims:
        whole = np.zeros(scene.shape, bool)
        whole[each.window.slices()] = each.mask > 0
        visible = whole & ~canvas
        expected.append(bool(visible.any()) and visible.sum() >= share * whole.sum())
        if expected[-1]:
            canvas |= visible
    assert kept.tolist() == expected


def test_the_largest_part_of_a_group_stays():
    # Regions in a row: group 5 lies at 0, 2 and 3; group 8 at 1 and 4, of one size; 5 is nobody's.
    a, b = np.arange(5), np.arange(1, 6)
    contacts = gather_contacts(a, b, np.ones((5, 4), np.int64), np.zeros(5, np.uint16))
    group = np.array([5, 8, 5, 5, 8, -1])
    whole = largest_parts(group, contacts, np.array([9, 4, 5, 5, 4, 7]))
    assert whole.tolist() == [False, True, True, True, False, False]
