"""What a user can ask of a run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from geopanoptic.scene.bands.masking import CloudMask

if TYPE_CHECKING:
    from geopanoptic.pipeline.planning.aoi import Area


@dataclass(frozen=True, slots=True, kw_only=True)
class Parameters:
    """The options of a run that are not about where things are written; None means the default."""

    model: str | Path | None = None
    """Name of a bundled model, or a bundle folder."""
    bands: str | Sequence[str] | None = None
    """Names of the scene's bands in file order, ``-`` for one to ignore."""
    dates: str | Sequence[str] | None = None
    """The dates to use, of those that the scene states; where it states none, the dates it has, in order."""
    start: str | date | None = None
    """Leave out dates before this one."""
    end: str | date | None = None
    """Leave out dates after this one."""
    max_cloud: float | None = None
    """Leave out dates with more cloud, in percent."""
    cloud_mask: CloudMask = "auto"
    """What hides pixels of a date: ``auto``, ``scl``, ``band``, ``ukis`` or ``none``."""
    align: bool = False
    """Whether dates on other grids are resampled onto one."""
    allow_remote: bool = False
    """Whether a scene may be read from http, https and s3 addresses."""
    assume_crs: str | None = None
    """CRS of a scene that states none."""
    pixel_size: float | str = "auto"
    """Metres of a pixel that the network is shown, each the mean of those of the files; ``native``: theirs;
    ``auto``: as the model likes them."""
    aoi: Area | None = None
    """Polygons, as a vector file, GeoDataFrame or GeoSeries; only pixels inside are mapped."""
    min_area_m2: float | None = None
    """Smallest region; default: the area of ten pixels as the network is shown them."""
    simplify_m: float | None = None
    """How far a border may move when straightened; 0 keeps pixel edges; default: one output pixel."""
    fusion: str = "deeplab"
    """How parcels and stuff become one map: a rule of ``geopanoptic.panoptic.fusion.rules``."""
    tile_px: int | None = None
    """Tile core in scene pixels."""
    block_px: int | None = None
    """Block in scene pixels."""
    batch: int | None = None
    """Tiles per network call."""
    memory: str | int | None = None
    """Budget, as bytes or text such as ``4GB``."""
    device: str = "auto"
    runtime: str = "auto"
    """``torch``, ``openvino``, ``onnxruntime`` or ``compiled``, see ``load_runtime``; auto: the fastest one installed."""
    precision: str = "auto"
    """``f32``, or ``bf16`` where the processor or GPU computes in it; auto: bf16 for networks of single dates where every
    process that is there when the run begins has OpenVINO and a CPU with instructions for it."""
    threads: int | None = None
    """Threads of one process."""
    scheduler: str = "threads"
    """``threads``, ``processes`` (from a script: under ``if __name__ == "__main__":``), ``slurm`` or the address of a Dask
    scheduler, ``tcp://HOST:PORT``."""
    workers: int | None = None
    """Processes (or Slurm jobs) side by side; with ``threads``, another name for ``threads``."""
    on_error: Literal["fail", "skip"] = "fail"
    """What becomes of a block that cannot be read or computed: ``skip`` makes it nodata, and says so. A date
    whose file cannot be opened is then left out of the series."""
