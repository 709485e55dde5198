"""Coordinate search: the same way to good parameters for every method."""

from __future__ import annotations

from collections.abc import Callable, Mapping


def best(
    grid: Mapping[str, tuple[float, ...]],
    start: Mapping[str, float],
    score: Callable[[dict[str, float]], float],
) -> dict[str, float]:
    """Each parameter in turn takes its best value, until a round changes nothing.

    No choice is scored twice; a score of NaN is never better.
    """
    known: dict[tuple[tuple[str, float], ...], float] = {}

    def scored(choice: dict[str, float]) -> float:
        key = tuple(sorted(choice.items()))
        if key not in known:
            known[key] = score(choice)
        return known[key]

    choice = dict(start)
    reached = scored(choice)
    while True:
        before = dict(choice)
        for name, values in grid.items():
            for value in values:
                tried = choice | {name: value}
                if (found := scored(tried)) > reached:
                    choice, reached = tried, found
        if choice == before:
            return choice
