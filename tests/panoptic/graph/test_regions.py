"""The region graph against a pixel-by-pixel count, for any blocks in any order."""

from __future__ import annotations

import pickle
from collections import defaultdict
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from geopanoptic.errors import ResourceError
from geopanoptic.grid import Window
from geopanoptic.panoptic import numbering
from geopanoptic.panoptic.graph.contacts import WEAK_BOUNDARY_U8, Contacts, gather_contacts
from geopanoptic.panoptic.graph.pieces import Evidence, describe_block
from geopanoptic.panoptic.graph.regions import RegionGraph, components, join_blocks, sum_by

from ..pixel_scenes import LAYERS, N_STUFF, N_THINGS, Scene, connected, scene, sides

seeds = st.integers(0, 2**32 - 1)
block_shapes = st.tuples(st.integers(1, 17), st.integers(1, 17))


def contact_sums(contacts: Contacts) -> dict[tuple[int, int], list[int]]:
    pairs = list(zip(contacts.a.tolist(), contacts.b.tolist(), strict=True))
    assert pairs == sorted(set(pairs))
    assert all(a < b for a, b in pairs)
    values = np.concatenate([contacts.sums, contacts.pass_heat[:, None]], axis=1)
    return dict(zip(pairs, values.tolist(), strict=True))


def counted_contacts(shown: Scene, region: NDArray[np.int64]) -> dict[tuple[int, int], list[int]]:
    """Length, boundary, weak sides, relief and pass heat of every contact, one pixel side after the other."""
    gathered: dict[tuple[int, int], list[int]] = defaultdict(lambda: [0, 0, 0, 0, 0])
    for here, there in sides(region):
        values = gathered[tuple(sorted((int(region[here]), int(region[there]))))]
        both = {name: [int(getattr(shown.evidence, name)[at]) for at in (here, there)] for name in LAYERS}
        boundary = max(both["boundary"])
        values[0] += 1
        values[1] += boundary
        values[2] += boundary < WEAK_BOUNDARY_U8
        values[3] += max(both["relief"]) // 256
        values[4] = max(values[4], min(both["heat"]))
    return dict(gathered)


def assert_counts(graph: RegionGraph, shown: Scene, region: NDArray[np.int64]) -> None:
    scene_px = np.arange(region.size).reshape(region.shape)
    for number in range(len(graph.label)):
        inside = region == number
        assert graph.label[number] == np.unique(shown.keys()[inside]).item()
        assert graph.first_px[number] == scene_px[inside].min()
        assert graph.area_px[number] == inside.sum()
        padded = np.pad(inside, 1)
        inner_sides = (padded[1:] & padded[:-1]).sum() + (padded[:, 1:] & padded[:, :-1]).sum()
        assert graph.sums[number].tolist() == [
            inside.sum(),
            inner_sides,
            shown.evidence.field[inside].sum(),
            shown.evidence.boundary[inside].sum(),
            (shown.evidence.relief[inside] // 256).sum(),
        ]
        assert graph.heat_max[number] == shown.evidence.heat[inside].max()
        assert graph.relief_min[number] == shown.evidence.relief[inside].min()
        best = np.arange(N_THINGS) == shown.evidence.thing[inside][:, None]
        share = shown.evidence.thing_score[inside].astype(np.int64)[:, None]
        things = np.where(best, share * (N_THINGS - 1), 255 - share).sum(axis=0)
        stuff = np.bincount(shown.evidence.stuff[inside], minlength=N_STUFF)
        np.testing.assert_array_equal(graph.thing_sums[number], things)
        np.testing.assert_array_equal(graph.stuff_counts[number], stuff)


@settings(max_examples=150)
@given(seed=seeds, block=block_shapes, order=st.randoms(use_true_random=False))
def test_any_blocks_in_any_order_give_the_counts_of_the_pixels(seed, block, order):
    shown = scene(seed)
    windows = shown.windows(block)
    order.shuffle(windows)
    graph, region = shown.regions(windows)

    numbers, n = connected(shown.keys())
    np.testing.assert_array_equal(region, numbers - 1)
    assert len(graph.label) == n
    assert_counts(graph, shown, region)
    assert contact_sums(graph.contacts) == counted_contacts(shown, region)


@given(seed=seeds)
def test_pieces_of_one_block_are_its_connected_parts(seed):
    shown = scene(seed)
    window = Window(0, 0, *shown.valid.shape)
    piece, block = shown.describe(window)
    assert piece.dtype == np.int32
    np.testing.assert_array_equal(piece > 0, shown.valid)
    numbers, n = connected(shown.keys())
    assert len(block.label) == n == len(np.unique(numbers[shown.valid] * (n + 1) + piece[shown.valid]))
    for face, side in (
        (block.top, np.s_[0]),
        (block.bottom, np.s_[-1]),
        (block.left, np.s_[:, 0]),
        (block.right, np.s_[:, -1]),
    ):
        np.testing.assert_array_equal(face.piece, piece[side])
        for name in ("boundary", "relief", "heat"):
            np.testing.assert_array_equal(getattr(face, name), getattr(shown.evidence, name)[side])


@given(seed=seeds, block=block_shapes, uncertain=st.integers(0, 6))
def test_what_has_a_label_that_proves_to_be_none_is_stuff(seed, block, uncertain):
    labelled = scene(seed)
    numbers = np.searchsorted(np.unique(np.append(labelled.labels, 0)), labelled.labels)
    shown = replace(labelled, labels=numbers)
    proved = np.arange(numbers.max() + 1)
    n_certain = max(numbers.max() - uncertain, 0)
    proved[n_certain + 1 :: 2] = 0
    blocks = [
        shown.describe(window, n_certain=n_certain)[1].labelled(proved) for window in shown.windows(block)
    ]
    as_proved = replace(shown, labels=proved[numbers])
    _, region = as_proved.regions(shown.windows(block))
    graph, _ = join_blocks(blocks)
    assert_counts(graph, as_proved, region)
    assert contact_sums(graph.contacts) == counted_contacts(as_proved, region)


def flat(value: int, shape: tuple[int, int]) -> Evidence:
    filled, deep = np.full(shape, value, np.uint8), np.full(shape, 256 * value, np.uint16)
    return Evidence(
        field=filled,
        boundary=filled,
        relief=deep,
        heat=deep,
        thing=filled % N_THINGS,
        thing_score=filled,
        stuff=filled % N_STUFF,
    )


def described(labels: NDArray[np.int64], valid: NDArray[np.bool_], window: Window, value: int = 255):  # type: ignore[no-untyped-def]
    return describe_block(
        labels,
        valid,
        flat(value, labels.shape),
        window=window,
        scene_width=100_000,
        n_things=N_THINGS,
        n_stuff=N_STUFF,
    )


def test_a_region_may_leave_a_block_and_come_back():
    # A ring in label 5 around stuff: the upper block holds one piece of it, the lower block two.
    upper = np.array([[5, 5, 5], [5, 0, 5]])
    lower = np.array([[5, 0, 5], [5, 0, 5]])
    valid = np.ones((2, 3), bool)
    blocks = [
        described(upper, valid, Window(0, 0, 2, 3)),
        described(lower, valid, Window(2, 0, 4, 3)),
    ]
    graph, of_piece = join_blocks([block for _, block in blocks])
    assert graph.label.tolist() == [5, -1]
    assert graph.area_px.tolist() == [9, 3]
    assert graph.first_px.tolist() == [0, 100_001]
    assert contact_sums(graph.contacts) == {(0, 1): [7, 7 * 255, 0, 7 * 255, 255 * 256]}
    assert [len(lookup) for lookup in of_piece] == [3, 4]
    assert [lookup[0] for lookup in of_piece] == [-1, -1]


def test_diagonal_pixels_of_one_class_are_two_regions():
    labels, valid = np.zeros((2, 2), np.int64), np.array([[True, False], [False, True]])
    for windows in ([Window(0, 0, 2, 2)], [Window(r, c, r + 1, c + 1) for r in range(2) for c in range(2)]):
        blocks = [described(labels[w.slices()], valid[w.slices()], w)[1] for w in windows]
        graph, _ = join_blocks(blocks)
        assert graph.area_px.tolist() == [1, 1]
        assert len(graph.contacts.a) == 0


def test_a_missing_block_is_nodata():
    labels, valid = np.zeros((1, 2), np.int64), np.ones((1, 2), bool)
    blocks = [described(labels, valid, Window(0, col, 1, col + 2))[1] for col in (0, 4)]
    graph, _ = join_blocks(blocks)
    assert graph.first_px.tolist() == [0, 4]


def test_pixel_indices_and_labels_need_64_bits():
    far = 60_000
    labels = np.full((1, 2), 2**40, np.int64)
    _, block = described(labels, np.ones((1, 2), bool), Window(far, far, far + 1, far + 2))
    assert block.first_px.tolist() == [far * 100_000 + far]
    assert block.label.tolist() == [2**40]


def test_a_scene_of_nodata_has_no_region():
    shape = (3, 4)
    piece, block = described(np.ones(shape, np.int64), np.zeros(shape, bool), Window(0, 0, *shape))
    graph, of_piece = join_blocks([block])
    assert not piece.any()
    assert len(graph.label) == len(graph.contacts.a) == 0
    assert graph.thing_sums.shape == (0, N_THINGS)
    assert [lookup.tolist() for lookup in of_piece] == [[-1]]


def test_arrays_need_not_be_contiguous():
    shown = scene(11, max_side_px=40)
    window = Window(0, 0, *shown.valid.T.shape)
    turned = Scene(
        labels=shown.labels.T,
        valid=shown.valid.T,
        evidence=Evidence(**{name: getattr(shown.evidence, name).T for name in LAYERS}),
    )
    graph, region = turned.regions([window])
    assert_counts(graph, turned, region)
    np.testing.assert_array_equal(region, connected(turned.keys())[0] - 1)


def test_a_description_survives_pickling_and_keeps_no_view_of_the_block():
    shown = scene(3)
    piece, block = shown.describe(Window(0, 0, *shown.valid.shape))
    copy = pickle.loads(pickle.dumps(block))
    np.testing.assert_array_equal(copy.bottom.piece, block.bottom.piece)
    assert copy.window == block.window
    for face in (block.top, block.bottom, block.left, block.right):
        assert face.piece.base is None
        assert not np.shares_memory(face.piece, piece)


@pytest.mark.parametrize("n", [0, 1, 5])
def test_without_edges_every_node_is_its_own_component(n):
    nothing = np.zeros(0, np.int64)
    assert sorted(components(n, nothing, nothing).tolist()) == list(range(n))


@given(st.lists(st.tuples(st.integers(0, 4), st.integers(-(2**40), 2**40)), max_size=20))
def test_sums_by_group_are_exact(rows):
    group = np.array([group for group, _ in rows], np.int64)
    values = np.array([[value, 1] for _, value in rows], np.int64).reshape(-1, 2)
    expected = [
        [sum(value for g, value in rows if g == number), sum(g == number for g, _ in rows)]
        for number in range(5)
    ]
    assert sum_by(group, values, 5).tolist() == expected
    assert sum_by(group, values[:, 0], 5).tolist() == [total for total, _ in expected]


def test_contacts_are_the_same_from_both_sides():
    a, b = np.array([3, 1, 3, 0]), np.array([1, 3, 2, 9])
    sums = np.array([[1, 10, 0, 5], [2, 20, 1, 6], [4, 30, 0, 7], [8, 40, 0, 8]])
    contacts = gather_contacts(a, b, sums, np.array([4, 9, 2, 1]))
    assert contact_sums(contacts) == {
        (0, 9): [8, 40, 0, 8, 1],
        (1, 3): [3, 30, 1, 11, 9],
        (2, 3): [4, 30, 0, 7, 2],
    }


def test_more_pieces_or_contacts_than_numbers_are_refused(monkeypatch):
    shown = scene(1)
    _, described = shown.describe(Window(0, 0, *shown.valid.shape))
    pieces, ends = len(described.label), 2 * len(described.contacts.a)
    for largest, told in (
        (pieces - 1, rf"{pieces} pieces of regions"),
        (ends - 1, rf"{ends} ends of contacts"),
    ):
        monkeypatch.setattr(numbering, "LARGEST", largest)
        with pytest.raises(ResourceError, match=told) as refusal:
            join_blocks([described])
        assert "--aoi" in refusal.value.remedy
    monkeypatch.setattr(numbering, "LARGEST", ends)
    join_blocks([described])
