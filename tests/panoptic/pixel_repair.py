"""The repair rules once more, as slow loops over the pixels of a scene: the reference for the real ones.

Nothing of the implementation is used. Regions are sets of pixels in an array, every decision measures the
pixels afresh, and strengths are compared exactly, as fractions.
"""

from __future__ import annotations

import math
from collections import Counter
from fractions import Fraction

import numpy as np
from numpy.typing import NDArray

from geopanoptic.panoptic.parcels.repair import RepairRules

from .pixel_scenes import N_STUFF, N_THINGS, Scene, connected, sides

Pair = tuple[int, int]


class PixelRepair:
    """Regions of a scene under repair; a region is named by its first one in the order of first pixels."""

    def __init__(self, shown: Scene) -> None:
        self.shown = shown
        numbers, n = connected(shown.keys())
        self.region = numbers - 1
        self.is_thing = {k: bool((shown.labels[self.region == k] > 0).all()) for k in range(n)}
        self.class_index: dict[int, int] = {}
        self.score: dict[int, float] = {}
        self.class_score: dict[int, float] = {}

    def names(self) -> list[int]:
        return np.unique(self.region[self.region >= 0]).tolist()

    def contacts(self) -> dict[Pair, tuple[int, int]]:
        length_px: Counter[Pair] = Counter()
        boundary_sum: Counter[Pair] = Counter()
        for here, there in sides(self.region):
            a, b = sorted((int(self.region[here]), int(self.region[there])))
            length_px[a, b] += 1
            boundary = self.shown.evidence.boundary
            boundary_sum[a, b] += max(int(boundary[here]), int(boundary[there]))
        return {pair: (length_px[pair], boundary_sum[pair]) for pair in length_px}

    def area_px(self, name: int) -> int:
        return int((self.region == name).sum())

    def majority(self, layer: NDArray[np.uint8], name: int, n: int) -> int:
        return int(np.argmax(np.bincount(layer[self.region == name], minlength=n)))

    def shares(self, name: int) -> list[Fraction]:
        """The thing classes' shares of all things' probability: the best one's is known, the others' alike."""
        inside, evidence = self.region == name, self.shown.evidence
        totals = [Fraction(0)] * N_THINGS
        for best, score in zip(
            evidence.thing[inside].tolist(), evidence.thing_score[inside].tolist(), strict=True
        ):
            for number in range(N_THINGS):
                known = Fraction(score, 255)
                totals[number] += known if number == best else (1 - known) / (N_THINGS - 1)
        return totals

    def move(self, names: list[int], target: int) -> None:
        """All of ``names`` and ``target`` become one region of the target's kind and class."""
        known = [each.get(target) for each in (self.class_index, self.score, self.class_score)]
        kind, (class_index, score, class_score) = self.is_thing[target], known
        members = [*names, target]
        name = min(members)
        self.region[np.isin(self.region, members)] = name
        self.is_thing[name] = kind
        if class_index is not None and score is not None:
            self.class_index[name], self.score[name] = class_index, score
        if class_score is not None:
            self.class_score[name] = class_score

    def merge_weak(self, threshold: float) -> None:
        # Of equal strengths the contact goes first that holds the first contact of the scene's regions.
        first_region = self.region.copy()
        while True:
            things = {
                pair: Fraction(boundary_sum, 255 * length_px)
                for pair, (length_px, boundary_sum) in self.contacts().items()
                if self.is_thing[pair[0]] and self.is_thing[pair[1]]
            }
            first: dict[Pair, Pair] = {}
            for here, there in sides(self.region):
                pair = tuple(sorted((int(self.region[here]), int(self.region[there]))))
                of_scene = tuple(sorted((int(first_region[here]), int(first_region[there]))))
                first[pair] = min(first.get(pair, of_scene), of_scene)
            weakest = min(things, key=lambda pair: (things[pair], first[pair]), default=None)
            if weakest is None or float(things[weakest]) >= threshold:
                return
            self.move([weakest[1]], weakest[0])

    def demote(self, least_field: float) -> None:
        evidence = self.shown.evidence
        for name in self.names():
            field_sum = int(evidence.field[self.region == name].sum())
            if float(Fraction(field_sum, 255 * self.area_px(name))) < least_field:
                self.is_thing[name] = False
            if self.is_thing[name]:
                shares = self.shares(name)
                self.class_index[name] = shares.index(max(shares))
                self.class_score[name] = float(max(shares) / sum(shares))
            else:
                self.class_index[name] = self.majority(evidence.stuff, name, N_STUFF)

    def join_equal_stuff(self) -> None:
        def equal(a: int, b: int) -> bool:
            kinds = self.is_thing[a] or self.is_thing[b]
            return not kinds and self.class_index[a] == self.class_index[b]

        while (pair := next((pair for pair in self.contacts() if equal(*pair)), None)) is not None:
            self.move([pair[1]], pair[0])

    def absorb(self, min_area_px: int) -> None:
        self.join_equal_stuff()
        while True:
            contacts = self.contacts()
            sizes = sorted((self.area_px(name), name) for name in self.names())
            crumbs = [
                name
                for area_px, name in sizes
                if area_px < min_area_px and any(name in pair for pair in contacts)
            ]
            if not crumbs:
                break
            crumb = crumbs[0]
            own = [pair for pair in contacts if crumb in pair]
            a, b = min(own, key=lambda pair: (-contacts[pair][0], sum(pair)))
            self.move([crumb], b if a == crumb else a)
            self.join_equal_stuff()
        for name in self.names():
            if self.area_px(name) < min_area_px and self.is_thing[name]:
                self.is_thing[name] = False
                self.class_index[name] = self.majority(self.shown.evidence.stuff, name, N_STUFF)

    def labels(self) -> tuple[NDArray[np.int32], list[int]]:
        """Final labels (h, w), 0 = nodata, and the regions' names in label order: things, then stuff."""
        names = sorted(self.names(), key=lambda name: (not self.is_thing[name], name))
        labels = np.zeros(self.region.shape, np.int32)
        for label, name in enumerate(names, 1):
            labels[self.region == name] = label
        return labels, names

    def judge(self) -> None:
        contacts = self.contacts()
        for name in self.names():
            inside = int(self.shown.evidence.field[self.region == name].sum()) / (255 * self.area_px(name))
            touching = [sums for pair, sums in contacts.items() if name in pair]
            length_px, boundary_sum = map(sum, zip(*touching, strict=True)) if touching else (0, 0)
            self.score[name] = math.sqrt(inside * boundary_sum / (255 * length_px)) if touching else inside

    def final_score(self, name: int) -> float:
        return self.score[name] if self.is_thing[name] else math.nan

    def final_class_score(self, name: int) -> float:
        return self.class_score[name] if self.is_thing[name] else math.nan


def repair_pixels(shown: Scene, rules: RepairRules) -> PixelRepair:
    repaired = PixelRepair(shown)
    repaired.merge_weak(rules.merge_boundary)
    repaired.judge()
    repaired.demote(rules.drop_field)
    repaired.absorb(rules.min_area_px)
    return repaired
