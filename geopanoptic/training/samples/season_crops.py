"""The unit of a pool of seasons: one crop of a series of images with its labels."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from geopanoptic.replacing import replacing
from geopanoptic.scene.radiometry import Normalisation, date_range, series_normalisation
from geopanoptic.scene.sampling import Sample
from geopanoptic.training.synthetic.spectra import BANDS

CROP_PX = 128
STEPS = 256
"""Steps of one network unit that stored images keep: far below the noise, and half the size on disk."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SeriesSample:
    """One training sample of a season. Labels have twice the images' resolution, as the network's output has.

    ``image_tchw`` (T, 10, h, w)
        network input range, one normalisation for all dates, 0 where a band is absent or a pixel invalid;
    ``available_tc`` (T, 10) and ``valid_thw`` (T, h, w)
        which bands each date has, which pixels it shows;
    ``day_t`` (T,)
        day of the year by the seasons of the north, 1..366, NaN where unknown;
    ``instances`` (2h, 2w)
        parcels > 0, 0 certainly no parcel, -1 unknown;
    ``stuff`` (2h, 2w)
        class index of the series bundle, ``crops.UNLABELLED`` where unknown, also inside parcels of unknown kind.
    """

    image_tchw: NDArray[np.float32]
    available_tc: NDArray[np.bool_]
    valid_thw: NDArray[np.bool_]
    day_t: NDArray[np.float32]
    instances: NDArray[np.int32]
    stuff: NDArray[np.uint8]

    def save(self, path: Path) -> None:
        """Write as .npz, whole or not at all, the image in ``STEPS`` steps as float16."""
        stored = {
            **asdict(self),
            "image_tchw": (np.round(self.image_tchw * STEPS) / STEPS).astype(np.float16),
        }
        # numpy's own writer compresses four times as long for a tenth less.
        with (
            replacing(path) as partial,
            zipfile.ZipFile(partial, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive,
        ):
            for name, array in stored.items():
                with archive.open(f"{name}.npy", "w") as member:
                    np.lib.format.write_array(member, array)


@dataclass(frozen=True, slots=True, kw_only=True)
class SeasonScene:
    """A whole scene of which crops are taken: ``values_tchw`` in ``bands`` as stored, and its labels."""

    values_tchw: NDArray[np.float32] | NDArray[np.uint16]
    bands: tuple[str, ...]
    valid_thw: NDArray[np.bool_]
    day_t: NDArray[np.float32]
    instances: NDArray[np.int32]
    stuff: NDArray[np.uint8]

    def normalisation(self) -> Normalisation:
        """As a scene of these dates gets."""
        return series_normalisation([
            date_range(
                Sample(
                    bands=self.bands,
                    values_cn=values.reshape(len(self.bands), -1).astype(np.float32),
                    valid_n=valid.ravel(),
                )
            )
            for values, valid in zip(self.values_tchw, self.valid_thw, strict=True)
        ])  # fmt: skip

    def crop(
        self, row: int, col: int, normalisation: Normalisation, dates: Sequence[int] | None = None
    ) -> SeriesSample:
        """The crop from image pixel ``row``, ``col`` on, of all dates or the given ones."""
        chosen = np.arange(len(self.day_t)) if dates is None else np.asarray(dates)
        coarse = np.s_[row : row + CROP_PX, col : col + CROP_PX]
        fine = np.s_[2 * row : 2 * (row + CROP_PX), 2 * col : 2 * (col + CROP_PX)]
        valid = self.valid_thw[(chosen, *coarse)]
        image = np.zeros((len(chosen), len(BANDS), CROP_PX, CROP_PX), np.float32)
        places = [BANDS.index(name) for name in self.bands]
        for t, date in enumerate(chosen):
            image[t, places] = normalisation.apply(
                self.values_tchw[(date, slice(None), *coarse)].astype(np.float32), valid[t]
            )
        return SeriesSample(
            image_tchw=image,
            available_tc=np.tile(np.isin(np.arange(len(BANDS)), places), (len(chosen), 1)),
            valid_thw=valid,
            day_t=self.day_t[chosen],
            instances=self.instances[fine],
            stuff=self.stuff[fine],
        )


def wandered(normalisation: Normalisation, rng: np.random.Generator) -> Normalisation:
    """As if what was measured were a part of a larger scene."""
    low, high = np.array(normalisation.low), np.array(normalisation.high)
    span = high - low
    low, high = low - span * rng.uniform(-0.05, 0.15), high + span * rng.uniform(-0.1, 0.5)
    return Normalisation(bands=normalisation.bands, low=tuple(low.tolist()), high=tuple(high.tolist()))
