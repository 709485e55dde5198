"""What ``geopanoptic doctor`` looks at."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

from geopanoptic.errors import GeopanopticError


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at; ``text`` says what was found and, where it is bad, what to do."""

    subject: str
    good: bool
    text: str

    def to_dict(self) -> dict[str, object]:
        return asdict(self)


def diagnose() -> list[Finding]:
    """Look at everything a run needs. Never raises: what fails is a finding."""
    findings = []
    for subject, look in _LOOKS.items():
        try:
            findings += [Finding(subject=subject, good=True, text=text) for text in look()]
        except (GeopanopticError, ImportError, OSError, RuntimeError, ValueError) as failure:
            findings.append(Finding(subject=subject, good=False, text=str(failure)))
    return findings


def _packages() -> Iterator[str]:
    from geopanoptic.products.report import versions

    yield ", ".join(f"{name} {version}" for name, version in versions().items())


def _gdal() -> Iterator[str]:
    import rasterio
    from rasterio.drivers import raster_driver_extensions
    from rasterio.env import GDALDataFinder

    lacking = {"tif", "jp2"} - set(raster_driver_extensions())
    if lacking:
        raise RuntimeError(
            f"GDAL {rasterio.__gdal_version__} lacks {', '.join(lacking)}: reinstall rasterio."
        )
    data = os.environ.get("GDAL_DATA") or GDALDataFinder().search() or "the system's folders"
    yield f"GDAL {rasterio.__gdal_version__} with GeoTIFF and JPEG 2000, data in {data}"


def _proj() -> Iterator[str]:
    import pyproj
    import rasterio
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    # Each wheel brings its own PROJ and finds its own database, unless a variable sends both to one place.
    redirected = [name for name in ("PROJ_DATA", "PROJ_LIB") if name in os.environ]
    remedy = f"unset {' and '.join(redirected)}." if redirected else "reinstall rasterio and pyproj."
    try:
        x, y = pyproj.Transformer.from_crs(4326, 32632, always_xy=True).transform(9.0, 52.0)
        same = CRS.from_epsg(32632).to_epsg() == 32632
    except (CRSError, pyproj.exceptions.ProjError) as failure:
        raise RuntimeError(f"The PROJ database does not fit ({failure}): {remedy}") from None
    if not same or abs(x - 500_000) > 1 or abs(y - 5_761_038) > 10:
        raise RuntimeError(f"PROJ gives wrong coordinates ({x:.0f}, {y:.0f}): {remedy}")
    yield (
        f"PROJ {rasterio.__proj_version__} (rasterio) and {pyproj.proj_version_str} (pyproj) agree, "
        f"data in {pyproj.datadir.get_data_dir()}"
    )


def _torch() -> Iterator[str]:
    import torch

    from geopanoptic.models.networks.torchvision_ops import ensure_torchvision_imports

    ensure_torchvision_imports()
    import segmentation_models_pytorch  # noqa: F401  fails where torchvision does not fit torch

    devices = ["cpu"]
    if torch.cuda.is_available():
        devices += [torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        devices.append("mps")
    yield f"torch {torch.__version__}, devices: {', '.join(devices)}, {torch.get_num_threads()} threads"


def _runtimes() -> Iterator[str]:
    from importlib.metadata import version

    from geopanoptic.models.runtimes.loading import RUNTIMES, installed_runtimes, prefers_bf16

    installed = installed_runtimes()
    precision = "bf16" if prefers_bf16(device="cpu") else "f32"
    told = f"on the CPU {installed[0]} {version(installed[0])} in {precision}"
    if others := ", ".join(f"{name} {version(name)}" for name in installed[1:]):
        told += f"; also {others}"
    if (fastest := RUNTIMES[0]) not in installed:
        told += f"; {fastest} is several times faster than torch: pip install 'geopanoptic[cpu]'"
    yield told


def _models() -> Iterator[str]:
    from geopanoptic.models.bundle import DEFAULT_BUNDLE, list_bundles, load_bundle

    for name in sorted({DEFAULT_BUNDLE, *list_bundles()}):
        bundle = load_bundle(name)
        yield f"{bundle.name}: weights match their checksum {bundle.sha256[:12]}"


def _machine() -> Iterator[str]:
    from geopanoptic.cores import usable_cores
    from geopanoptic.pipeline.memory import available_bytes, default_budget_bytes, machine_bytes, size_text

    cores, disk = usable_cores(), shutil.disk_usage(Path.cwd())
    of_all = f" of {os.cpu_count()}" if cores != os.cpu_count() else ""
    yield (
        f"a run may use {cores}{of_all} cores and {size_text(available_bytes())} of {size_text(machine_bytes())} memory, "
        f"of which it takes {size_text(default_budget_bytes(cores=cores))} unless told otherwise; "
        f"{size_text(disk.free)} free on this folder's disk"
    )


def _temporary() -> Iterator[str]:
    with tempfile.NamedTemporaryFile(prefix="geopanoptic-") as file:
        file.write(b"0" * 4096)
        file.flush()
    yield f"{tempfile.gettempdir()} is writable"


_LOOKS: dict[str, Callable[[], Iterator[str]]] = {
    "packages": _packages,
    "GDAL": _gdal,
    "PROJ": _proj,
    "network": _torch,
    "runtime": _runtimes,
    "models": _models,
    "machine": _machine,
    "temporary": _temporary,
}
