"""What is checked at a time: the labels of one image or map, with outlines that geometry can be computed on.

Lengths that decide (what is the same line, a sliver, a gap) follow from the labels themselves, so that they need no
setting for fields, trees or roofs, in metres, degrees or pixels.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from functools import cached_property

import geopandas
import numpy as np
import shapely
from numpy.typing import NDArray
from rasterio.features import rasterize

from geopanoptic.errors import UsageError
from geopanoptic.labels.objects import (
    Canvas,
    Labels,
    OutlineLabels,
    RasterLabels,
    as_outlines,
    pixel_outlines,
)
from geopanoptic.labels.taxonomy import Taxonomy, taxonomy_of_names


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What counts as a defect. Lengths and areas are in the coordinates of the labels; None: by their typical size.

    ``tolerance``: lines closer than that are one line (a thousandth of the median object's size). ``sliver_width``:
    objects with a smaller mean width are slivers (a twentieth of the median width, in rasters no less than a pixel).
    ``gap_area``: smaller unlabelled holes are gaps (a twentieth of the median area). ``least_shift_px``: smaller
    shifts are not reported. ``agreement``: an object and a prediction are the same from this IoU on.
    """

    tolerance: float | None = None
    sliver_width: float | None = None
    gap_area: float | None = None
    least_shift_px: float = 1.0
    largest_shift_px: int = 16
    agreement: float = 0.5


@dataclass(frozen=True, kw_only=True)
class Subject:
    """Labels of one image or map as they were stated, ``frame``, one row per object (n rows).

    ``frame`` has ``object_id`` (may repeat; 0: none), ``class_name`` (may be empty), and where the source states
    them ``kind`` and ``layer``. ``canvas`` is the image, where there is one.
    """

    name: str
    frame: geopandas.GeoDataFrame
    taxonomy: Taxonomy
    canvas: Canvas | None
    is_raster: bool
    one_image: bool
    """Whether the labels are those of one image, rather than of a map that may reach beyond it."""
    limits: Limits

    @classmethod
    def of(
        cls, labels: Labels, *, name: str, canvas: Canvas | None, one_image: bool, limits: Limits
    ) -> Subject:
        """The labels of one image; a raster's objects get outlines along its pixels."""
        is_raster = isinstance(labels, RasterLabels)
        frame = as_outlines(labels).objects
        return cls(
            name=name,
            frame=frame.reset_index(drop=True),
            taxonomy=labels.taxonomy,
            canvas=canvas or labels.canvas,
            is_raster=is_raster,
            one_image=one_image,
            limits=limits,
        )

    @cached_property
    def stated(self) -> NDArray[np.object_]:
        """(n,) geometries as they were stated, None where there is none."""
        return np.asarray(self.frame.geometry.array, dtype=object)

    @cached_property
    def outlines(self) -> NDArray[np.object_]:
        """(n,) valid polygons and multipolygons; empty polygons where nothing else can be made of what was stated."""
        sound = np.where(shapely.is_missing(self.stated), shapely.Polygon(), self.stated)
        invalid = ~shapely.is_valid(sound)
        sound[invalid] = shapely.make_valid(sound[invalid], method="structure", keep_collapsed=False)
        mixed = ~np.isin(shapely.get_type_id(sound), _POLYGONAL)
        sound[mixed] = [polygons_of(each) for each in sound[mixed]]
        shapely.prepare(sound)
        return sound

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        return self.frame["object_id"].to_numpy(np.int64)

    @cached_property
    def classes(self) -> NDArray[np.object_]:
        return self.frame["class_name"].to_numpy(object)

    @cached_property
    def is_stuff(self) -> NDArray[np.bool_]:
        """(n,) by the kind that the row states, else by its class."""
        stuff = {each.name for each in self.taxonomy.classes if each.kind == "stuff"}
        by_class = np.isin(self.classes.astype(str), sorted(stuff))
        if "kind" not in self.frame:
            return by_class
        stated = self.frame["kind"].to_numpy(object)
        return np.where(stated == "stuff", True, np.where(stated == "thing", False, by_class)).astype(
            np.bool_
        )

    @cached_property
    def area(self) -> NDArray[np.float64]:
        return np.asarray(shapely.area(self.outlines))

    @cached_property
    def tree(self) -> shapely.STRtree:
        return shapely.STRtree(self.outlines)

    @cached_property
    def tolerance(self) -> float:
        """Width below which a strip is rounding, in the coordinates of the labels."""
        given = self.limits.tolerance
        return given if given is not None else float(np.sqrt(self._median(self.area))) / 1000

    @cached_property
    def sliver_width(self) -> float:
        if self.limits.sliver_width is not None:
            return self.limits.sliver_width
        typical = self._median(mean_width(self.outlines)) / 20
        return max(typical, self.pixel) if self.is_raster else typical

    @cached_property
    def gap_area(self) -> float:
        given = self.limits.gap_area
        return given if given is not None else self._median(self.area) / 20

    @cached_property
    def pixel(self) -> float:
        """Side of a pixel in the coordinates of the labels."""
        if self.canvas is None:
            return 1.0
        if self.frame.crs is None or self.canvas.crs is None or self.frame.crs == self.canvas.crs:
            return float(np.sqrt(abs(self.canvas.placed.determinant)))
        height, width = self.canvas.shape
        return float(np.sqrt(shapely.area(self.image_box) / (height * width)))

    @cached_property
    def unit(self) -> str:
        """What lengths are in."""
        if self.frame.crs is None:
            return "px"
        name = self.frame.crs.axis_info[0].unit_name
        return {"metre": "m", "degree": "°"}.get(name, name)

    @cached_property
    def metres(self) -> float | None:
        """In a unit that is an angle, about, in the middle of the labels; None of other units."""
        latitudes = shapely.bounds(self.outlines)[:, 1::2]
        latitudes = latitudes[np.isfinite(latitudes)]
        if self.unit != "°" or not len(latitudes):
            return None
        along_meridian, along_parallel = 110_574, 111_320 * np.cos(np.radians(np.median(latitudes)))
        return float(np.sqrt(along_meridian * max(along_parallel, 0)))

    @property
    def _sound(self) -> OutlineLabels:
        """The sound outlines as labels whose ids are row + 1."""
        rows = np.flatnonzero(self.area > 0)
        objects = geopandas.GeoDataFrame(
            {"object_id": rows + 1, "class_name": "x", "score": np.nan},
            geometry=self.outlines[rows],
            crs=self.frame.crs,
        )
        return OutlineLabels(objects=objects, taxonomy=taxonomy_of_names(["x"]), canvas=self.canvas)

    @cached_property
    def rows_hw(self) -> NDArray[np.int32]:
        """The labels drawn on the image: row + 1 (of several the smallest object's), 0 where there is none.

        By pixel centres, as :func:`geopanoptic.labels.objects.as_raster` draws, which also counts claims and is
        slower by that. Raises ``UsageError`` where there is no image or it lies elsewhere.
        """
        outlines_px = self.outlines_px
        height, width = self.canvas.shape if self.canvas is not None else (0, 0)
        left, top, right, bottom = shapely.bounds(outlines_px).T
        order = np.argsort(-shapely.area(outlines_px), kind="stable")
        order = order[((left < width) & (right > 0) & (top < height) & (bottom > 0))[order]]
        if not len(order):
            return np.zeros((height, width), np.int32)
        shapes = map(json.loads, shapely.to_geojson(outlines_px[order]))
        drawn = rasterize(
            zip(shapes, (order + 1).tolist(), strict=True), out_shape=(height, width), dtype="int32"
        )
        return np.asarray(drawn, np.int32)

    @cached_property
    def image_box(self) -> shapely.Polygon | None:
        """The image's extent in the coordinates of the labels. Raises ``UsageError`` where it lies elsewhere."""
        if self.canvas is None:
            return None
        height, width = self.canvas.shape
        box = shapely.segmentize(shapely.box(0, 0, width, height), max(height, width) / 64)
        return self.from_pixels(np.array([box], dtype=object))[0]

    @cached_property
    def outlines_px(self) -> NDArray[np.object_]:
        """(n,) the sound outlines in pixels of the image, empty where a row has none.

        Raises ``UsageError`` where there is no image or it lies elsewhere.
        """
        if self.canvas is None:
            raise UsageError("The labels belong to no image.", remedy="Name it with --image.")
        every = np.full(len(self.ids), shapely.Polygon(), dtype=object)
        sound = self._sound
        every[sound.objects["object_id"].to_numpy() - 1] = pixel_outlines(sound, self.canvas)
        return every

    def from_pixels(self, shapes_px: NDArray[np.object_]) -> NDArray[np.object_]:
        """Geometries in pixels of the image in the coordinates of the labels."""
        if self.canvas is None or self.canvas.transform is None:
            return shapes_px
        placed, crs = self.canvas.placed, self.canvas.crs

        def to_map(xy: NDArray[np.float64]) -> NDArray[np.float64]:
            return np.column_stack(placed @ (xy[:, 0], xy[:, 1]))  # type: ignore[operator, arg-type]

        on_map = geopandas.GeoSeries(shapely.transform(shapes_px, to_map), crs=crs)
        if crs is not None and self.frame.crs is not None and crs != self.frame.crs:
            on_map = on_map.to_crs(self.frame.crs)
        return np.asarray(on_map.array, dtype=object)

    @property
    def settled_limits(self) -> Limits:
        """The limits with what followed from these labels, for the same labels after a change."""
        return replace(
            self.limits, tolerance=self.tolerance, sliver_width=self.sliver_width, gap_area=self.gap_area
        )

    def ids_of(self, rows: NDArray[np.int64] | list[int]) -> tuple[int, ...]:
        return tuple(self.ids[rows].tolist())

    def _median(self, values: NDArray[np.float64]) -> float:
        positive = values[values > 0]
        return float(np.median(positive)) if len(positive) else 0.0


_POLYGONAL = (shapely.GeometryType.POLYGON, shapely.GeometryType.MULTIPOLYGON)


def polygons_of(shape: shapely.Geometry) -> shapely.Geometry:
    """What of a geometry has an area: a polygon or multipolygon, empty where nothing has."""
    parts = shapely.get_parts(shape)
    solid = [part for part in parts if part.geom_type in ("Polygon", "MultiPolygon") and part.area > 0]
    return solid[0] if len(solid) == 1 else shapely.union_all(solid) if solid else shapely.Polygon()


def mean_width(outlines: NDArray[np.object_]) -> NDArray[np.float64]:
    """(n,) twice the area by the perimeter: the width of a long strip, half the side of a square; 0 for nothing."""
    length = shapely.length(outlines)
    return np.divide(2 * shapely.area(outlines), length, out=np.zeros(len(outlines)), where=length > 0)
