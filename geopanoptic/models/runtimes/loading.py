"""Chooses device and runtime, and makes a bundle's network ready to run."""

from __future__ import annotations

import functools
import importlib.metadata
import importlib.util
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from geopanoptic.cores import usable_cores
from geopanoptic.errors import ModelError, ResourceError, UsageError
from geopanoptic.models.bundle import Bundle
from geopanoptic.models.graph_cache import image_graph
from geopanoptic.models.networks.margins import least_margin_px
from geopanoptic.models.runtimes.runtime import ImageRuntime, Probabilities, Runtime

if TYPE_CHECKING:
    import torch

    from geopanoptic.models.networks.compact_series import CompactReader, CompactSeasonDecoder
    from geopanoptic.models.runtimes.series_runtime import Halves

Device = Literal["auto", "cpu", "cuda", "mps"]
RuntimeName = Literal["auto", "torch", "openvino", "onnxruntime", "compiled"]
Precision = Literal["auto", "f32", "bf16"]

RUNTIMES: tuple[RuntimeName, ...] = ("openvino", "onnxruntime", "torch")
"""Fastest on a CPU first (tests/benchmarks/runtimes.py).

Of series (tests/benchmarks/series.py) too, up to a dozen dates; beyond, ONNX Runtime was up to a fifth faster on
a CPU without AVX-512: its encoder is faster, its decoder slower.
"""

COMPILED: RuntimeName = "compiled"
"""Torch with kernels that ``torch.compile`` writes for the network first, a minute for every shape of tiles; never "auto"."""
_OF_TORCH = ("torch", COMPILED)

_PACKAGES = {
    "openvino": ("openvino", "onnx"),
    "onnxruntime": ("onnxruntime", "onnx"),
    "torch": ("torch",),
    COMPILED: ("torch",),
}
# One of them is there where a driver of NVIDIA (on Linux, Jetson, in WSL) or AMD is.
_GPU_FILES = ("nvidiactl", "nvmap", "dxg", "kfd")
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

    "compiled" is torch with kernels of its own for the network (``torch.compile``), for long runs on a GPU: it begins
    with a minute of compiling for every shape of tiles, and a pixel's last bits depend on that shape.

    ``precision`` "auto" takes bf16 for networks of single images where ``prefers_bf16`` says so, else f32.

    ``bands`` are the bands that a scene has; the others are not looked at, and the validity of the first
    counts for all. None: any band, each with its own flag. ``margin_px`` input pixels along every edge get no
    output, which spares most of the work there: 0, or the tiles' halo.

    Results differ between runtimes and ``bands`` by rounding. On the CPU, with these the same, a pixel farther
    from a tile's edge than the network's reach has the same bits in every tile, batch and number of threads, also
    in OpenVINO's bfloat16. Not tested to the bit: bfloat16 of torch, and GPUs.

    Raises ``ResourceError`` where the device does not exist or cannot compute in ``precision``, ``UsageError``
    for a runtime that is unknown, not installed, or not for that device, and for wrong bands and margins,
    ``ModelError`` for damaged weights and as ``Bundle.dense_network``.
    """
    target = _device_name(device)
    name = _chosen(runtime, target)
    if precision not in get_args(Precision):
        raise UsageError(f"There is no precision {precision!r}.", remedy="Choose auto, f32 or bf16.")
    if precision == "auto":
        precision = "bf16" if not bundle.takes_series and _takes_bf16(name) else "f32"
    n_bands = len(bundle.bands)
    numbers = None if bands is None else _numbers(bundle, bands)
    _check_margin(bundle, margin_px)
    n_workers = threads or usable_cores()
    common: dict[str, Any] = {
        "name": name,
        "version": importlib.metadata.version("torch" if name == COMPILED else name),
        "device": target,
        "precision": precision,
        "bundle": bundle,
        "channels": tuple(range(2 * n_bands)) if numbers is None else (*numbers, n_bands + numbers[0]),
        "margin_px": margin_px,
        "workers": _workers(n_workers, name) if target == "cpu" else None,
    }
    if bundle.takes_series:
        from geopanoptic.models.networks.compact_series import compact_series
        from geopanoptic.models.runtimes.series_runtime import SeriesRuntime

        trained = _finite_network(bundle)
        harmonics = trained.harmonics
        reader, decoder = compact_series(trained, bands=numbers, margin_px=margin_px)
        halves = _halves(name, reader, decoder, target, n_workers, precision)
        return SeriesRuntime(halves=halves, harmonics=harmonics, **common)
    if name in _OF_TORCH:
        from geopanoptic.models.networks.two_scales import network_of_looks
        from geopanoptic.models.runtimes.torch_runtime import torch_probabilities

        network = network_of_looks(bundle, _finite_network(bundle), bands=numbers, margin_px=margin_px)
        probabilities: Probabilities = torch_probabilities(
            network, target, autocast=precision == "bf16", compiled=name == COMPILED
        )
    else:
        graph = image_graph(bundle, lambda: _finite_network(bundle), bands=numbers, margin_px=margin_px)
        probabilities = _of_graph(name, graph, n_workers, precision)
    return ImageRuntime(probabilities=probabilities, **common)


def installed_runtimes() -> tuple[RuntimeName, ...]:
    """Those of ``RUNTIMES`` that can be used here, fastest on a CPU first."""
    return tuple(name for name in RUNTIMES if not _missing_packages(name))


def prefers_bf16(device: Device = "auto", runtime: RuntimeName = "auto") -> bool:
    """Whether networks of single images are computed in bfloat16 here unless something else is asked for.

    They are by OpenVINO on a CPU that has instructions for it: twice as fast, and nearly as good (RESULTS.md). Raises as
    ``load_runtime`` for devices and runtimes.
    """
    return _takes_bf16(_chosen(runtime, _device_name(device)))


def _takes_bf16(name: str) -> bool:
    if name != "openvino":
        return False
    from geopanoptic.models.runtimes.openvino_runtime import computes_in_bf16

    return computes_in_bf16()


def _finite_network(bundle: Bundle) -> Any:
    trained = bundle.dense_network()
    if not all(values.isfinite().all() for values in trained.state_dict().values()):
        raise ModelError(f"The weights of {bundle.path} hold NaN.", remedy="Fetch the bundle again.")
    return trained


def _of_graph(name: str, graph: bytes, threads: int, precision: Precision) -> Probabilities:
    if name == "openvino":
        from geopanoptic.models.runtimes.openvino_runtime import openvino_probabilities

        return openvino_probabilities(graph, threads=threads, bf16=precision == "bf16")
    from geopanoptic.models.runtimes.onnx_runtime import onnx_probabilities

    if precision == "bf16":
        raise UsageError(
            "ONNX Runtime computes this network in float32 only.",
            remedy="Choose --precision f32, or --runtime openvino.",
        )
    return onnx_probabilities(graph)


def _halves(
    name: str,
    reader: CompactReader,
    decoder: CompactSeasonDecoder,
    device: str,
    threads: int,
    precision: Precision,
) -> Halves:
    if name not in _OF_TORCH and precision == "bf16":
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
    from geopanoptic.models.runtimes.torch_runtime import torch_halves

    return torch_halves(reader, decoder, device, autocast=precision == "bf16", compiled=name == COMPILED)


def _chosen(runtime: str, device: str) -> str:
    if runtime not in get_args(RuntimeName):
        raise UsageError(
            f"There is no runtime {runtime!r}.", remedy=f"Choose {', '.join(get_args(RuntimeName))}."
        )
    if device != "cpu":
        if runtime not in ("auto", *_OF_TORCH):
            raise UsageError(
                f"Runtime {runtime} computes on the CPU only, not on {device}.",
                remedy="Choose --runtime torch, or --device cpu.",
            )
        return COMPILED if runtime == COMPILED else "torch"
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
    stride_px = bundle.stride_px
    least_px = least_margin_px(stride_px.bit_length() - 1)
    if margin_px and (margin_px % stride_px or margin_px < least_px):
        raise UsageError(
            f"A margin of {margin_px} px is no multiple of {stride_px} px from {least_px} px.",
            remedy=f"Model {bundle.name} needs 0, or its reach of {bundle.reach_px} px rounded up.",
        )


def _means_cpu(device: str) -> bool:
    """Whether it is the CPU that is meant for sure. Asking torch for a GPU takes seconds."""
    if device == "auto" and sys.platform == "linux":
        return not any(Path("/dev", name).exists() for name in _GPU_FILES)
    return device == "cpu"


def _device_name(device: str) -> str:
    return "cpu" if _means_cpu(device) else str(resolved_device(device))


@functools.cache
def gpu_or_cpu(device: str) -> str:
    """The GPU of NVIDIA or AMD that a name stands for, as torch calls it, or ``cpu`` where this process has none such."""
    try:
        name = _device_name(device)
    except ResourceError:
        return "cpu"
    return name if name.startswith("cuda") else "cpu"


def resolved_device(device: str) -> torch.device:
    """The device of a name, ``auto`` being a CUDA GPU where there is one; ``ResourceError`` where it is not there."""
    import torch

    if device == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    present = {"cpu": True, "cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available()}
    if not present.get(device.split(":")[0], False):
        raise ResourceError(
            f"There is no device {device!r} here.",
            remedy="Run with --device cpu, or install torch for your GPU and its driver.",
        )
    return torch.device(device)


def _workers(n_workers: int, name: str) -> ThreadPoolExecutor:
    if name not in _OF_TORCH:
        return ThreadPoolExecutor(n_workers, "geopanoptic-network")
    import torch

    # torch counts threads per calling thread: the rest of the process keeps its own number.
    return ThreadPoolExecutor(
        n_workers, "geopanoptic-network", initializer=torch.set_num_threads, initargs=(1,)
    )
