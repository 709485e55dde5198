"""What is counted against a map where only some fields are drawn."""

from __future__ import annotations

import geopandas
import shapely

from geopanoptic.evaluation.sparse import compare
from geopanoptic.training.held_out import false_parcels


def test_only_parcels_that_cannot_match_an_undrawn_field_are_false() -> None:
    def boxes(*bounds: tuple[float, float, float, float]) -> geopandas.GeoDataFrame:
        return geopandas.GeoDataFrame(geometry=[shapely.box(*each) for each in bounds], crs="EPSG:32632")

    drawn = boxes((0, 0, 10, 10), (20, 0, 30, 10))
    parcels = boxes(
        (0, 0, 10, 9),  # matches the first field
        (20, 0, 23, 10),  # a piece of the second
        (26, 0, 32, 10),  # for the most part on it
        (10, 0, 20, 10),  # beside both
        (29, 0, 40, 10),  # for the most part where nobody drew
    )
    assert false_parcels(parcels, drawn, compare(parcels, drawn)) == 2
