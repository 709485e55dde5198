"""Real parcel outlines for generated scenes."""

from __future__ import annotations

from pathlib import Path

import numpy as np


class Outlines:
    """Real parcel outlines of one part of the Dutch parcel register (BRP, CC0), for generated scenes."""

    def __init__(self, data: Path, *, validation: bool) -> None:
        import geopandas
        import shapely

        frame = geopandas.read_file(f"zip://{data / 'ndvi-brp-netherlands' / 'fields_cropped.zip'}")
        centre = frame.geometry.centroid
        # The easternmost quarter is kept for validation: no outline is in both.
        split = centre.x.quantile(0.75)
        side = centre.x >= split if validation else centre.x < split
        self._geometry = frame.geometry[side].to_numpy()
        self._xy = shapely.get_coordinates(shapely.centroid(self._geometry))
        self._tree = shapely.STRtree(self._geometry)

    def draw(self, shape: tuple[int, int], rng: np.random.Generator) -> list[object]:
        """Outlines around a random parcel, turned and scaled, in label pixels."""
        import shapely
        from shapely import affinity

        metres_per_px = 5 * float(np.exp(rng.normal(0, 0.35)))
        centre = self._xy[rng.integers(len(self._xy))]
        reach = max(shape) * metres_per_px
        near = self._tree.query(shapely.box(*(centre - reach), *(centre + reach)))
        angle, mirror = rng.uniform(0, 2 * np.pi), rng.choice([-1.0, 1.0])
        cos, sin, s = np.cos(angle), np.sin(angle), 1 / metres_per_px
        matrix = [s * cos * mirror, -s * sin, s * sin * mirror, s * cos]
        return [
            affinity.affine_transform(
                geometry,
                [
                    *matrix,
                    shape[1] / 2 - matrix[0] * centre[0] - matrix[1] * centre[1],
                    shape[0] / 2 - matrix[2] * centre[0] - matrix[3] * centre[1],
                ],
            )
            for geometry in self._geometry[near]
        ]
