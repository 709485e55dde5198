"""Graphs of regions made by hand."""

from __future__ import annotations

import numpy as np

from geopanoptic.panoptic.graph.contacts import gather_contacts
from geopanoptic.panoptic.graph.regions import RegionGraph


def contacts_of(a, b, length_px, boundary_sum):  # type: ignore[no-untyped-def]
    nothing = 0 * length_px
    return gather_contacts(a, b, np.stack([length_px, boundary_sum, nothing, nothing], axis=1), nothing)


def graph(
    areas_px: list[int],
    contacts: list[tuple[int, int, int, int]],
    *,
    stuff: dict[int, int] | None = None,
    field: int = 255,
) -> RegionGraph:
    """Regions of these areas; contacts (a, b, length, boundary value); ``stuff``: region -> stuff class."""
    stuff = stuff or {}
    n, area_px = len(areas_px), np.array(areas_px, np.int64)
    stuff_counts = np.zeros((n, 3), np.int64)
    stuff_counts[np.arange(n), [stuff.get(number, 2) for number in range(n)]] = area_px
    a, b, length_px, boundary = np.array(contacts, np.int64).reshape(-1, 4).T
    return RegionGraph(
        width_px=n,
        label=np.array([-1 - stuff[number] if number in stuff else number + 1 for number in range(n)]),
        first_px=np.arange(n),
        sums=np.stack([area_px, 0 * area_px, field * area_px, 0 * area_px, 0 * area_px], axis=1),
        heat_max=0 * area_px,
        relief_min=0 * area_px,
        thing_sums=np.stack([200 * area_px, 55 * area_px], axis=1),
        stuff_counts=stuff_counts,
        contacts=contacts_of(a, b, length_px, length_px * boundary),
    )
