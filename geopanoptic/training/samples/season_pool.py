"""Writes a pool of seasons: ``python -m geopanoptic.training.samples.season_pool --data DIR --out POOL``.

Folders: ``season`` (generated), and with ``--teacher BUNDLE`` ``boerde`` and ``austria`` (real, see
``real_seasons``). One ``.npz`` per sample, with the arrays of ``season_crops.SeriesSample``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np

from geopanoptic.training.samples import real_seasons, series
from geopanoptic.training.samples.generated_seasons import generated_season
from geopanoptic.training.samples.outlines import Outlines
from geopanoptic.training.samples.season_crops import SeriesSample

_DATES = (8, 12)


def write_generated(
    folder: Path,
    data: Path,
    scenes: Iterable[int],
    *,
    seed: int,
    n_dates: int | None = None,
    held_out: bool = False,
) -> None:
    """Four crops each of the numbered generated ``scenes``, of ``n_dates`` or of 8 to 12 dates.

    ``held_out``: for validation, with parcel outlines that training never sees.
    """
    outlines = Outlines(data, validation=held_out)
    write(folder, _crops(outlines, scenes, seed, n_dates, held_out))


def _crops(
    outlines: Outlines, scenes: Iterable[int], seed: int, n_dates: int | None, held_out: bool
) -> Iterator[tuple[str, SeriesSample]]:
    for scene in scenes:
        rng = np.random.default_rng([seed, 7, scene])
        number = n_dates or int(rng.integers(_DATES[0], _DATES[1] + 1))
        samples = generated_season(rng, n_dates=number, outlines=outlines, wander=not held_out)
        for crop, sample in enumerate(samples):
            yield f"{scene:04d}_{crop}", sample


def write(folder: Path, samples: Iterable[tuple[str, SeriesSample]]) -> None:
    """Write named samples, each file whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, sample in samples:
        sample.save(folder / f"{name}.npz")


def write_real(pool: Path, data: Path, teacher: str) -> None:
    """The folders ``boerde`` and ``austria``, outlined by the bundle ``teacher``."""
    scenes = series.scenes(data)
    sources = {
        "austria": (None, real_seasons.austria, (1,)),
        "boerde": (series.boerde(data)[1], real_seasons.boerde, (1, 2, 3)),
    }
    for folder, (hidden, season_of, reductions) in sources.items():
        season = season_of(data, series.outlines(scenes[folder], teacher, hidden))
        samples = real_seasons.crops_of(season, reductions)
        write(pool / folder, ((f"{number:03d}", sample) for number, sample in enumerate(samples)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with the real data sets")
    parser.add_argument("--out", type=Path, required=True, help="folder for the samples")
    parser.add_argument("--scenes", type=int, nargs=2, default=(0, 250), metavar=("FIRST", "STOP"))
    parser.add_argument("--dates", type=int, help="dates of every generated season (default: 8 to 12)")
    parser.add_argument(
        "--held-out", action="store_true", help="for validation: outlines that training never sees"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--teacher", help="bundle of series that outlines real seasons: writes these instead")
    options = parser.parse_args()
    if options.teacher is not None:
        write_real(options.out, options.data, options.teacher)
        return
    write_generated(
        options.out / ("val-season" if options.held_out else "season"),
        options.data,
        range(*options.scenes),
        seed=options.seed,
        n_dates=options.dates,
        held_out=options.held_out,
    )


if __name__ == "__main__":
    main()
