"""Work in parts: things and stuff apart, a part per class, or areas of about equal size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from geopanoptic.errors import UsageError
from geopanoptic.labels.objects import Canvas, OutlineLabels
from geopanoptic.labels.taxonomy import LabelClass, Taxonomy

BY_KIND, BY_CLASS = "things,stuff", "class"


@dataclass(frozen=True, slots=True, kw_only=True)
class Part:
    """What one annotator gets: objects of some classes on some tiles."""

    name: str
    classes: frozenset[str]
    tiles: tuple[Canvas, ...]

    def of(self, labels: OutlineLabels) -> OutlineLabels:
        """The objects of the part's classes."""
        kept = labels.objects["class_name"].isin(self.classes)
        return OutlineLabels(
            objects=labels.objects[kept].reset_index(drop=True),
            taxonomy=labels.taxonomy,
            canvas=labels.canvas,
        )


def split_work(
    rule: str, *, taxonomy: Taxonomy, present: Sequence[str], tiles: Sequence[Canvas]
) -> list[Part]:
    """The parts of a rule: ``things,stuff``, ``class`` (one each of those ``present``), or a number of areas.

    Raises ``UsageError`` for another rule, or more areas than tiles.
    """
    every = tuple(tiles)
    if rule.replace(" ", "") == BY_KIND:
        return [
            Part(
                name=name,
                classes=frozenset(each.name for each in taxonomy.classes if each.kind == kind),
                tiles=every,
            )
            for name, kind in (("things", "thing"), ("stuff", "stuff"))
        ]
    if rule == BY_CLASS:
        return [
            Part(name=_folder_name(each), classes=frozenset({each.name}), tiles=every)
            for each in taxonomy.classes
            if each.name in present
        ]
    if not rule.isdecimal() or int(rule) < 2:
        raise UsageError(
            f"Work cannot be split by {rule!r}.",
            remedy=f"Split it by {BY_KIND}, by {BY_CLASS}, or give a number of areas from 2.",
        )
    if int(rule) > len(every):
        raise UsageError(
            f"{len(every)} tiles cannot be split into {rule} areas.",
            remedy="Give fewer areas, or smaller tiles with --tile.",
        )
    all_classes = frozenset(each.name for each in taxonomy.classes)
    return [
        Part(name=f"area-{number}", classes=all_classes, tiles=tuple(area))
        for number, area in enumerate(_areas(list(every), int(rule)), 1)
    ]


def _areas(tiles: list[Canvas], n: int) -> Iterator[list[Canvas]]:
    """Tiles in ``n`` compact groups of about equal area: halved across the longer side, again and again."""
    if n == 1:
        yield tiles
        return
    corners = [each.placed @ (0, 0) for each in tiles]
    xs, ys = zip(*corners, strict=True)
    along, across = (0, 1) if max(xs) - min(xs) >= max(ys) - min(ys) else (1, 0)
    order = sorted(range(len(tiles)), key=lambda k: (corners[k][along], corners[k][across]))
    wanted = sum(each.height * each.width for each in tiles) * (n // 2) / n
    first: list[int] = []
    covered = 0
    for k in order:
        size = tiles[k].height * tiles[k].width
        # Either side keeps at least as many tiles as parts are to be made of it.
        enough = covered + size / 2 > wanted and len(first) >= n // 2
        if enough or len(tiles) - len(first) <= n - n // 2:
            break
        first.append(k)
        covered += size
    chosen = set(first)
    yield from _areas([tiles[k] for k in sorted(chosen)], n // 2)
    yield from _areas([each for k, each in enumerate(tiles) if k not in chosen], n - n // 2)


def _folder_name(each: LabelClass) -> str:
    return f"{each.id}-" + "".join(letter if letter.isalnum() else "-" for letter in each.name)
