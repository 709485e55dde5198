"""PASTIS: patches of 128 x 128 pixels, classes in ``TARGET``, parcels in ``ParcelIDs``, places in the metadata.

``DIR/metadata.geojson`` beside ``DIR/ANNOTATIONS`` and ``DIR/INSTANCE_ANNOTATIONS`` (Garnot and Landrieu, ICCV 2021).
Background is unlabelled here, void a class of its own. Parcel ids hold across patches, so a parcel that two patches
show is one object. Smaller images are filled up with background. Images are not written: this is labels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyproj
from affine import Affine
from numpy.typing import NDArray

from geopanoptic.errors import UsageError
from geopanoptic.labels.formats.format import Format, LabelSource, ReadOptions, WriteOptions, Written
from geopanoptic.labels.formats.json_files import read_json
from geopanoptic.labels.formats.tables import with_columns
from geopanoptic.labels.objects import Canvas, Labels, RasterLabels, as_raster, claim_losses
from geopanoptic.labels.sidecar import known_image
from geopanoptic.labels.taxonomy import LabelClass, Taxonomy, load_taxonomy, taxonomy_of_names
from geopanoptic.labels.tiles import SOURCE_ID
from geopanoptic.npy import map_npy
from geopanoptic.scene.containers.pastis import LAMBERT_93, METADATA
from geopanoptic.training.pastis.folder import PATCH_PX, VOID, PastisFolder
from geopanoptic.training.pastis.targets import centre_targets, numbered

_ANNOTATIONS = "ANNOTATIONS"
_FIRST_PATCH = 10_000
_FOLDS = 5
_FETCH = "Fetch the data set again."


def recognises(path: Path) -> bool:
    return (path / METADATA).is_file() and any((path / _ANNOTATIONS).glob("ParcelIDs_*.npy"))


def read(path: Path, options: ReadOptions) -> LabelSource:
    patches = PastisFolder.open(path).patches
    features = {int(each["properties"]["ID_PATCH"]): each for each in read_json(path / METADATA)["features"]}
    bare = [each.number for each in patches if not _file(path, "TARGET", each.number).is_file()]
    taxonomy = taxonomy_of_names(["parcel"]) if bare else options.taxonomy or _pastis_classes()
    notes = (
        (f"{path.name}: {len(bare)} patches have no TARGET, so nobody says what grows there",) if bare else ()
    )

    def images() -> Iterator[Labels]:
        for patch in patches:
            yield _read_patch(path, features[patch.number], taxonomy, options, classes=not bare)

    return LabelSource(name=path.name, taxonomy=taxonomy, images=images, notes=notes)


def write(labels: Iterable[Labels], target: Path, options: WriteOptions) -> Written:
    for name in (_ANNOTATIONS, "INSTANCE_ANNOTATIONS"):
        (target / name).mkdir(parents=True)
    features: list[dict[str, Any]] = []
    objects = claims = stuff = 0
    for number, each in enumerate(labels, _FIRST_PATCH):
        raster, twice = as_raster(each)
        classes = _class_ids(raster)
        features.append(_write_patch(target, number, raster, classes))
        objects += len(classes) - classes.count(0)
        claims, stuff = claims + twice, stuff + classes.count(0)
    metadata = {
        "type": "FeatureCollection",
        "crs": {"type": "name", "properties": {"name": "urn:ogc:def:crs:EPSG::2154"}},
        "features": features,
    }
    (target / METADATA).write_text(json.dumps(metadata, indent=1) + "\n", encoding="utf-8")
    losses = claim_losses(claims)
    if stuff:
        losses += (f"{stuff:,} areas of land cover became background, all that PASTIS has beside parcels",)
    return Written(files=(target,), images=len(features), objects=objects, losses=losses)


FORMAT = Format(
    name="pastis",
    title="PASTIS",
    form="raster",
    images="many",
    image_px=PATCH_PX,
    keeps=frozenset({"georeference", "holes", "parts", "ids"}),
    recognises=recognises,
    read=read,
    write=write,
)


def _pastis_classes() -> Taxonomy:
    own = load_taxonomy("pastis")
    return own.model_copy(update={"classes": (*own.classes, LabelClass(id=VOID, name="void"))})


def _read_patch(
    path: Path, feature: dict[str, Any], taxonomy: Taxonomy, options: ReadOptions, *, classes: bool
) -> RasterLabels:
    number = int(feature["properties"]["ID_PATCH"])
    parcels_hw = _load(_file(path, "ParcelIDs", number))
    target_hw = _load(_file(path, "TARGET", number)) if classes else (parcels_hw > 0).astype(np.uint8)
    target_hw = target_hw[0] if target_hw.ndim == 3 else target_hw
    if parcels_hw.shape != target_hw.shape or parcels_hw.ndim != 2 or parcels_hw.min() < 0:
        raise UsageError(
            f"{path}, patch {number}: parcels {parcels_hw.shape} and classes {target_hw.shape} do not belong together.",
            remedy=_FETCH,
        )
    canvas = _canvas(feature, options, parcels_hw.shape)
    rows, cols = canvas.shape
    ids_hw = np.where(target_hw != 0, parcels_hw, 0).astype(np.int32)[:rows, :cols]
    objects = _objects(ids_hw, target_hw[:rows, :cols], taxonomy, f"{path}, patch {number}")
    return RasterLabels(ids_hw=ids_hw, objects=objects, taxonomy=taxonomy, canvas=canvas)


def _objects(
    ids_hw: NDArray[np.int32], target_hw: NDArray[np.integer], taxonomy: Taxonomy, where: str
) -> pd.DataFrame:
    """A row per parcel; of several classes the one of most of its pixels."""
    inside = ids_hw > 0
    counted = pd.DataFrame({"object_id": ids_hw[inside], "class_id": target_hw[inside]}).value_counts()
    table = counted.reset_index().drop_duplicates("object_id").sort_values("object_id", ignore_index=True)
    names = {each.id: each.name for each in taxonomy.classes}
    unknown = set(table["class_id"]) - names.keys()
    if unknown:
        raise UsageError(
            f"{where}: class {min(unknown)} is none of {', '.join(map(str, names))}.",
            remedy="Give the classes in labels.json beside the metadata.",
        )
    table["class_name"] = table["class_id"].map(names)
    table[SOURCE_ID] = table["object_id"]
    return with_columns(table.drop(columns=["class_id", "count"]))


def _canvas(feature: dict[str, Any], options: ReadOptions, shape: tuple[int, int]) -> Canvas:
    """The patch's place: that of the image it was cut from where that is known, else what its outline says."""
    properties = feature["properties"]
    name = str(properties.get("image") or f"S2_{properties['ID_PATCH']}.npy")
    known = known_image(name, options.images)
    if known is not None and known.height <= shape[0] and known.width <= shape[1]:
        return Canvas(image=name, height=known.height, width=known.width)
    zone = str(properties.get("TILE", ""))[1:3]
    bare = Canvas(image=name, height=shape[0], width=shape[1])
    if feature.get("geometry") is None or not zone.isdigit():
        return bare
    crs = pyproj.CRS.from_epsg(32600 + int(zone))
    ring = np.array(feature["geometry"]["coordinates"][0][0])
    xs, ys = pyproj.Transformer.from_crs(LAMBERT_93, crs, always_xy=True).transform(*ring.T[:2])
    # Reprojecting leaves a tenth of a micrometre.
    left, right, top = (round(float(each), 5) for each in (min(xs), max(xs), max(ys)))
    pixel = round((right - left) / shape[1], 5)
    return replace(bare, crs_wkt=crs.to_wkt(), transform=Affine(pixel, 0, left, 0, -pixel, top))


def _class_ids(raster: RasterLabels) -> list[int]:
    """Of every object; 0 of stuff. Raises ``UsageError`` for classes that ``TARGET`` has no number for."""
    classes = {each.name: each for each in raster.taxonomy.classes}
    ids = []
    for name in raster.objects["class_name"]:
        each = classes[name]
        if each.kind == "thing" and (not 1 <= each.id <= VOID or (each.id == VOID and name != "void")):
            raise UsageError(
                f"Class {name!r} has the id {each.id}; parcels of PASTIS have classes 1 to {VOID - 1}.",
                remedy="Convert to its classes with --taxonomy pastis, or to your own with such ids.",
            )
        ids.append(each.id if each.kind == "thing" else 0)
    return ids


def _write_patch(target: Path, number: int, raster: RasterLabels, class_ids: list[int]) -> dict[str, Any]:
    """Write the arrays of one patch; return its entry of the metadata."""
    height, width = raster.canvas.shape
    if max(height, width) > PATCH_PX:
        raise UsageError(
            f"{raster.canvas.image} has {height} x {width} pixels, patches of PASTIS {PATCH_PX} x {PATCH_PX}.",
            remedy=f"Cut the scene with --tile {PATCH_PX}.",
        )
    ids = raster.objects["object_id"].to_numpy()
    order = np.argsort(ids)
    parcels_hw, target_hw = np.zeros((2, PATCH_PX, PATCH_PX), np.int32)
    inside = raster.ids_hw > 0
    if inside.any():
        place = order[np.searchsorted(ids[order], raster.ids_hw[inside])]
        target_hw[:height, :width][inside] = np.array(class_ids, np.int32)[place]
    parcels_hw[:height, :width] = np.where(target_hw[:height, :width] > 0, raster.ids_hw, 0)
    instances_hw = numbered(parcels_hw, target_hw)
    centres = centre_targets(instances_hw)
    for name, array in (
        ("ANNOTATIONS/TARGET", np.stack([target_hw] * 3).astype(np.uint8)),
        ("ANNOTATIONS/ParcelIDs", parcels_hw),
        ("INSTANCE_ANNOTATIONS/INSTANCES", instances_hw),
        ("INSTANCE_ANNOTATIONS/HEATMAP", centres.heatmap_hw),
        ("INSTANCE_ANNOTATIONS/ZONES", centres.zones_hw),
    ):
        np.save(target / f"{name}_{number}.npy", array)
    zone, outline = _outline(raster.canvas)
    properties = {
        "ID_PATCH": number,
        "Fold": number % _FOLDS + 1,
        "TILE": zone,
        "N_Parcel": int(instances_hw.max(initial=0)),
        "Parcel_Cover": float((instances_hw > 0).mean()),
        "dates-S2": {},
        "image": raster.canvas.image,
    }
    return {"type": "Feature", "id": str(number), "properties": properties, "geometry": outline}


def _outline(canvas: Canvas) -> tuple[str, dict[str, Any] | None]:
    """Tile name with the UTM zone, and the patch in Lambert 93; none for images that do not lie in such a zone."""
    epsg = None if canvas.crs is None else canvas.crs.to_epsg()
    placed = canvas.placed
    if epsg is None or not 32601 <= epsg <= 32660 or placed.b or placed.d or placed.a != -placed.e:
        return "", None
    corners = [
        placed @ corner for corner in ((0, 0), (PATCH_PX, 0), (PATCH_PX, PATCH_PX), (0, PATCH_PX), (0, 0))
    ]
    to_lambert = pyproj.Transformer.from_crs(canvas.crs, LAMBERT_93, always_xy=True)
    ring = [list(map(float, to_lambert.transform(x, y))) for x, y in corners]
    # Readers look at the zone only.
    return f"t{epsg - 32600:02d}xxx", {"type": "MultiPolygon", "coordinates": [[ring]]}


def _file(path: Path, name: str, number: int) -> Path:
    return path / _ANNOTATIONS / f"{name}_{number}.npy"


def _load(file: Path) -> NDArray[Any]:
    try:
        return np.array(map_npy(file))
    except (OSError, ValueError) as error:
        raise UsageError(f"{file} cannot be read: {error}.", remedy=_FETCH) from None
