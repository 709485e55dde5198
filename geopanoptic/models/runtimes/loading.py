"""Chooses device and runtime, and makes a bundle's network ready to run."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, get_args

import torch

from geopanoptic.errors import ModelError, ResourceError, UsageError
from geopanoptic.models.bundle import Bundle
from geopanoptic.models.compact import CompactUNet, compact, least_margin_px
from geopanoptic.models.compact_series import CompactReader, CompactSeasonDecoder, compact_series
from geopanoptic.models.runtimes.runtime import ImageRuntime, Probabilities, Runtime
from geopanoptic.models.runtimes.series_runtime import Halves, SeriesRuntime
from geopanoptic.models.runtimes.torch_runtime import torch_halves, torch_probabilities
from geopanoptic.models.series import PanopticUNetSeries

Device = Literal["auto", "cpu", "cuda", "mps"]
RuntimeName = Literal["auto", "torch", "openvino", "onnxruntime"]
Precision = Literal["f32", "bf16"]

RUNTIMES: tuple[RuntimeName, ...] = ("openvino", "onnxruntime", "torch")
"""Fastest on a CPU first (tests/benchmarks/runtimes.py).

Of series (tests/benchmarks/series.py) too, up to a dozen dates; beyond, ONNX Runtime was up to a fifth faster on
a CPU without AVX-512: its encoder is faster, its decoder slower.
"""

_PACKAGES = {"openvino": ("openvino", "onnx"), "onnxruntime": ("onnxruntime", "onnx"), "torch": ("torch",)}
_EXTRAS = {"openvino": "cpu", "onnxruntime": "onnx"}


def load_runtime(
    bundle: Bundle,
    device: Device = "auto",
    threads: int | None = None,
    runtime: RuntimeName = "auto",
    *,
    bands: Sequence[str] | None = None,
    margin_px: int = 0,
    precision: Precision = "f32",
) -> Runtime:
    """The bundle's network on a device; "auto" takes a CUDA GPU where there is one, else the CPU.

    ``runtime`` "auto" takes torch on a GPU and the fastest one installed on the CPU. ``threads`` is the number
    of tiles computed side by side on the CPU, by default one per core this process may use.

    ``bands`` are the bands that a scene has; the others are not looked at, and the validity of the first
    counts for all. None: any band, each with its own flag. ``margin_px`` input pixels along every edge get no
    output, which spares most of the work there: 0, or the tiles' halo.

    Results differ between runtimes and ``bands`` by rounding. On the CPU in float32, with these the same, a pixel
    farther from a tile's edge than the network's reach has the same bits in every tile, batch and number of
    threads. Not tested to the bit: bfloat16 and GPUs.

    Raises ``ResourceError`` where the device does not exist or cannot compute in ``precision``, ``UsageError``
    for a runtime that is unknown, not installed, or not for that device, and for wrong bands and margins,
    ``ModelError`` for damaged weights and as ``Bundle.dense_network``.
    """
    target = _resolved(device)
    name = _chosen(runtime, target)
    if precision not in get_args(Precision):
        raise UsageError(f"There is no precision {precision!r}.", remedy="Choose f32 or bf16.")
    n_bands = len(bundle.bands)
    numbers = None if bands is None else _numbers(bundle, bands)
    _check_margin(bundle, margin_px)
    n_workers = threads or _usable_cores()
    common: dict[str, Any] = {
        "name": name,
        "version": importlib.metadata.version(name),
        "device": str(target),
        "precision": precision,
        "bundle": bundle,
        "channels": tuple(range(2 * n_bands)) if numbers is None else (*numbers, n_bands + numbers[0]),
        "margin_px": margin_px,
        "workers": _workers(n_workers) if target.type == "cpu" else None,
    }
    trained = bundle.dense_network()
    if not all(values.isfinite().all() for values in trained.state_dict().values()):
        raise ModelError(f"The weights of {bundle.path} hold NaN.", remedy="Fetch the bundle again.")
    if isinstance(trained, PanopticUNetSeries):
        harmonics = trained.harmonics
        reader, decoder = compact_series(trained, bands=numbers, margin_px=margin_px)
        halves = _halves(name, reader, decoder, target, n_workers, precision)
        return SeriesRuntime(halves=halves, harmonics=harmonics, **common)
    network = compact(trained, bands=numbers, margin_px=margin_px)
    return ImageRuntime(probabilities=_probabilities(name, network, target, n_workers, precision), **common)


def installed_runtimes() -> tuple[RuntimeName, ...]:
    """Those of ``RUNTIMES`` that can be used here, fastest on a CPU first."""
    return tuple(name for name in RUNTIMES if not _missing_packages(name))


def _probabilities(
    name: str, network: CompactUNet, device: torch.device, threads: int, precision: Precision
) -> Probabilities:
    if name == "openvino":
        from geopanoptic.models.runtimes.openvino_runtime import openvino_probabilities

        return openvino_probabilities(network, threads=threads, bf16=precision == "bf16")
    if name == "onnxruntime":
        from geopanoptic.models.runtimes.onnx_runtime import onnx_probabilities

        if precision == "bf16":
            raise UsageError(
                "ONNX Runtime computes this network in float32 only.",
                remedy="Choose --precision f32, or --runtime openvino.",
            )
        return onnx_probabilities(network)
    return torch_probabilities(network, device, autocast=precision == "bf16")


def _halves(
    name: str,
    reader: CompactReader,
    decoder: CompactSeasonDecoder,
    device: torch.device,
    threads: int,
    precision: Precision,
) -> Halves:
    if name != "torch" and precision == "bf16":
        raise UsageError(
            f"{name} computes networks of series in float32 only.",
            remedy="Choose --precision f32, or --runtime torch.",
        )
    if name == "openvino":
        from geopanoptic.models.runtimes.openvino_runtime import openvino_halves

        return openvino_halves(reader, decoder, threads=threads)
    if name == "onnxruntime":
        from geopanoptic.models.runtimes.onnx_runtime import onnx_halves

        return onnx_halves(reader, decoder)
    return torch_halves(reader, decoder, device, autocast=precision == "bf16")


def _chosen(runtime: str, device: torch.device) -> str:
    if runtime not in ("auto", *RUNTIMES):
        raise UsageError(
            f"There is no runtime {runtime!r}.", remedy=f"Choose auto, {', '.join(sorted(RUNTIMES))}."
        )
    if device.type != "cpu":
        if runtime not in ("auto", "torch"):
            raise UsageError(
                f"Runtime {runtime} computes on the CPU only, not on {device}.",
                remedy="Choose --runtime torch, or --device cpu.",
            )
        return "torch"
    if runtime == "auto":
        return installed_runtimes()[0]
    if missing := _missing_packages(runtime):
        raise UsageError(
            f"Runtime {runtime} needs {' and '.join(missing)}, not installed here.",
            remedy=f"pip install 'geopanoptic[{_EXTRAS[runtime]}]', or choose --runtime auto.",
        )
    return runtime


@functools.cache
def _missing_packages(runtime: str) -> tuple[str, ...]:
    return tuple(name for name in _PACKAGES[runtime] if importlib.util.find_spec(name) is None)


def _numbers(bundle: Bundle, bands: Sequence[str]) -> list[int]:
    unknown = [band for band in bands if band not in bundle.bands]
    if unknown or not bands:
        raise UsageError(
            f"Model {bundle.name} has no band {', '.join(unknown) or '(none given)'}.",
            remedy=f"Its bands: {', '.join(bundle.bands)}.",
        )
    return [number for number, band in enumerate(bundle.bands) if band in bands]


def _check_margin(bundle: Bundle, margin_px: int) -> None:
    stride_px, least_px = bundle.stride_px, least_margin_px(bundle.stride_px.bit_length() - 1)
    if margin_px and (margin_px % stride_px or margin_px < least_px):
        raise UsageError(
            f"A margin of {margin_px} px is no multiple of {stride_px} px from {least_px} px.",
            remedy=f"Model {bundle.name} needs 0, or its reach of {bundle.reach_px} px rounded up.",
        )


def _resolved(device: str) -> torch.device:
    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(device.split(":")[0], False):
        raise ResourceError(
            f"There is no device {device!r} here.",
            remedy="Run with --device cpu, or install torch for your GPU and its driver.",
        )
    return torch.device(device)


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _workers(n_workers: int) -> ThreadPoolExecutor:
    # torch counts threads per calling thread: the rest of the process keeps its own number.
    return ThreadPoolExecutor(
        n_workers, "geopanoptic-network", initializer=torch.set_num_threads, initargs=(1,)
    )
