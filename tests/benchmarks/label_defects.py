"""Found, missed and false alarms of ``geopanoptic labels check`` on defects planted in labels without them.

``python tests/benchmarks/label_defects.py [--count 30] [--data FOLDER] [--labels NAME ...] [--only KIND ...]``: Dutch parcels on a
Sentinel-2 NDVI image (those wholly on the image) and a generated scene with parcels and land cover. ``present`` are
issues of the kind in the labels before anything is planted; a false alarm is an issue of any kind that the labels
did not have before and that touches no planted defect.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import geopandas
import numpy as np
import pandas as pd
import rasterio
import shapely
import yaml

sys.path.insert(0, str(Path(__file__).parents[1] / "labels"))
import planting

from geopanoptic.labels.check.check import check
from geopanoptic.labels.check.issue import Issue
from geopanoptic.labels.check.reading import Source
from geopanoptic.labels.check.report import Report
from geopanoptic.labels.check.shift import Offset, shifts
from geopanoptic.training.synthetic import synthesize

_SHIFT_PART_PX = 300


@dataclass(frozen=True, kw_only=True)
class Ground:
    """Clean labels in the CRS of their image."""

    name: str
    labels: geopandas.GeoDataFrame
    image: Path
    full: bool

    @property
    def box(self) -> shapely.Polygon:
        with rasterio.open(self.image) as file:
            return shapely.box(*file.bounds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=30)
    parser.add_argument("--data", type=Path, default=Path(__file__).parents[2].parent / "shared" / "data")
    parser.add_argument("--labels", nargs="+", default=["netherlands", "generated"])
    parser.add_argument("--only", nargs="+", default=[], metavar="KIND")
    asked = parser.parse_args()
    print("| labels | defect | planted | found | missed | false alarms | present | seconds |")
    print("|---|---|---:|---:|---:|---:|---:|---:|")
    with tempfile.TemporaryDirectory() as folder:
        places = {
            "netherlands": lambda: netherlands(asked.data),
            "generated": lambda: generated(Path(folder)),
        }
        for place in asked.labels:
            ground = places[place]()
            for row in rows(ground, asked.count, Path(folder), asked.only):
                print(f"| {ground.name} | {' | '.join(map(str, row))} |", flush=True)


def rows(ground: Ground, count: int, folder: Path, only: list[str]) -> Iterator[tuple[object, ...]]:
    taxonomy = folder / f"{ground.name}.yaml"
    kinds = ground.labels.drop_duplicates("class_name").sort_values("class_name")
    classes = [
        {"id": n, "name": name, "kind": kind}
        for n, (name, kind) in enumerate(zip(kinds["class_name"], kinds["kind"], strict=True), 1)
    ]
    known = [*classes, {"id": 999, "name": "planted cover", "kind": "stuff"}, {"id": 1000, "name": "other"}]
    taxonomy.write_text(yaml.safe_dump({"name": "clean", "classes": known}), encoding="utf-8")
    image, clean_file = ground.image, written(ground.labels, folder / "clean.gpkg")

    clean = check(clean_file, taxonomy=taxonomy)
    for kind, plant in planting.EXACT.items():
        if not only or kind in only:
            allowed = None if kind == "class-spelling" else taxonomy
            yield measured(kind, plant, ground, count, folder, clean, taxonomy=allowed)
    if not only or "outside-image" in only:
        clean = check(clean_file, image=image)
        plant = planting.outside_image(ground.box)
        yield measured("outside-image", plant, ground, count, folder, clean, image=image)
    if ground.full and (not only or "unlabelled" in only):
        clean = check(clean_file, image=image, full=True)
        yield measured("unlabelled", planting.removed, ground, count, folder, clean, image=image, full=True)
    for kind, plant in {
        "model-misses": planting.misdrawn,
        "model-class": planting.misnamed,
        "model-adds": planting.removed,
    }.items():
        if not only or kind in only:
            clean = check(clean_file, image=image, against=clean_file)
            yield measured(kind, plant, ground, count, folder, clean, image=image, against=clean_file)
    if not only or "shift" in only:
        yield shifted_wholly(ground, count, folder)
        yield shifted_in_part(ground, count, folder)


def measured(
    kind: str,
    plant: planting.Planter,
    ground: Ground,
    count: int,
    folder: Path,
    clean: Report,
    **options: object,
) -> tuple[object, ...]:
    planted = plant(ground.labels, count, np.random.default_rng(5))
    file = written(planted.labels, folder / "planted.gpkg")
    started = time.process_time()
    report = check(file, limits=planting.limits_of(clean), **options)  # type: ignore[arg-type]
    seconds = time.process_time() - started
    found = planting.outcome(kind, planted, report, clean)
    alarms = len(found.false_alarms)
    return (
        kind,
        found.planted,
        found.found,
        found.planted - found.found,
        alarms,
        found.present,
        f"{seconds:.1f}",
    )


class Shifts:
    """The check for shifts alone, on labels of one image whose edges are found once."""

    def __init__(self, ground: Ground, folder: Path) -> None:
        source = Source.of(written(ground.labels, folder / "clean.gpkg"), image=ground.image)
        self._subject, picture = next(iter(source.subjects()))
        if picture is None:
            raise ValueError("the labels have no image")
        self._edges_hw = picture.edges_hw()

    def of(self, labels: geopandas.GeoDataFrame) -> tuple[Offset | None, list[Issue]]:
        return shifts(replace(self._subject, frame=labels), self._edges_hw)


def shifted_wholly(ground: Ground, count: int, folder: Path) -> tuple[object, ...]:
    """All labels moved by 1.5 to 12 px, and as often a random three quarters of them not moved at all."""
    rng = np.random.default_rng(6)
    checks = Shifts(ground, folder)
    own = vector(checks.of(ground.labels)[0])
    found, alarms, errors, seconds = 0, 0, [], 0.0
    for _ in range(count):
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(1.5, 12)
        by_px = length * np.array([np.cos(angle), np.sin(angle)])
        by = pixel(ground) * by_px * (1, -1)
        started = time.process_time()
        offset, issues = checks.of(planting.moved(ground.labels, tuple(by)))
        seconds += time.process_time() - started
        found += any(each.severity == "error" for each in issues)
        errors.append(np.hypot(*(vector(offset) + by_px - own)))
        kept = ground.labels.sample(frac=0.75, random_state=int(rng.integers(2**31))).reset_index(drop=True)
        alarms += len(checks.of(kept)[1])
    kind = f"shift of all (median error {np.median(errors):.2f} px, labels' own {own.round(2).tolist()})"
    return kind, count, found, count - found, alarms, 0, f"{seconds / count:.1f}"


def shifted_in_part(ground: Ground, count: int, folder: Path) -> tuple[object, ...]:
    """The labels of a square moved by 2 to 8 px."""
    rng = np.random.default_rng(7)
    checks = Shifts(ground, folder)
    left, low, right, high = ground.box.bounds
    side = _SHIFT_PART_PX * pixel(ground)
    found = alarms = planted = 0
    seconds = 0.0
    while planted < count:
        x, y = rng.uniform(left, right - side), rng.uniform(low, high - side)
        part = shapely.box(x, y, x + side, y + side)
        if shapely.contains(part, shapely.centroid(ground.labels.geometry.array)).sum() < 100:
            continue
        planted += 1
        angle, length = rng.uniform(0, 2 * np.pi), rng.uniform(2, 8)
        by = pixel(ground) * length * np.array([np.cos(angle), np.sin(angle)])
        started = time.process_time()
        _, issues = checks.of(planting.moved(ground.labels, tuple(by), part))
        seconds += time.process_time() - started
        found += any(shapely.intersects(each.geometry, part) for each in issues)
        alarms += sum(not shapely.intersects(each.geometry, part) for each in issues)
    return "shift of a part", count, found, count - found, alarms, 0, f"{seconds / count:.1f}"


def vector(offset: Offset | None) -> np.ndarray:
    """Columns and rows of the edges, seen from the labels."""
    return np.full(2, np.nan) if offset is None else offset.vector


def pixel(ground: Ground) -> float:
    with rasterio.open(ground.image) as file:
        return float(file.transform.a)


def written(labels: geopandas.GeoDataFrame, path: Path) -> Path:
    path.unlink(missing_ok=True)
    labels.to_file(path, layer="objects", driver="GPKG")
    return path


def netherlands(data: Path) -> Ground:
    image = data / "ndvi-brp-netherlands" / "NDVI.tif"
    with rasterio.open(image) as file:
        box, crs = shapely.box(*file.bounds), file.crs
    parcels = geopandas.read_file(data / "ndvi-brp-netherlands" / "fields_cropped.zip").to_crs(crs)
    parcels = parcels[parcels.within(box.buffer(-200))].reset_index(drop=True)
    labels = geopandas.GeoDataFrame(
        {"object_id": np.arange(1, len(parcels) + 1), "class_name": parcels["gewas"], "kind": "thing"},
        geometry=parcels.geometry,
    )
    return Ground(name="Netherlands", labels=labels, image=image, full=False)


def generated(folder: Path) -> Ground:
    scene = synthesize((500, 500), character="mosaic", seed=3, month=6)
    scene.to_geotiff(folder / "scene.tif")
    parcels, cover = (
        scene.parcels().assign(class_name="parcel", kind="thing"),
        scene.land_cover().assign(kind="stuff"),
    )
    whole = pd.concat([parcels, cover], ignore_index=True)[["class_name", "kind", "geometry"]]
    labels = geopandas.GeoDataFrame(whole, crs=parcels.crs)
    labels.insert(0, "object_id", np.arange(1, len(labels) + 1))
    return Ground(name="generated", labels=labels, image=folder / "scene.tif", full=True)


if __name__ == "__main__":
    main()
