"""Writes a bundle's network for other programs: ONNX, OpenVINO or ``torch.export``.

What is written takes the input of ``PanopticUNet`` (bands, zero where absent or invalid, then one flag per band)
and gives probabilities, see ``CompactImage``, the mean over the bundle's views. Batch, height and width are free;
height and width must be multiples of the bundle's stride, of ``torch.export`` two strides at least. A file describes
itself in its metadata where the format has such.

A network of series becomes one file too, which is simpler to use than its two halves: it takes all dates of one
place at once, any number of them, and their encoded days, see ``CompactSeason``.
"""

from __future__ import annotations

import importlib.util
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

from geopanoptic.errors import OutputError, UsageError
from geopanoptic.models.bundle import Bundle

if TYPE_CHECKING:
    from onnx import ModelProto

    from geopanoptic.models.networks.compact import CompactImage
    from geopanoptic.models.networks.compact_series import CompactSeason

Format = Literal["onnx", "openvino", "torch-export"]

_SUFFIXES = {"onnx": ".onnx", "openvino": ".xml", "torch-export": ".pt2"}
_PACKAGES = {"onnx": ("onnx",), "openvino": ("openvino", "onnx"), "torch-export": ()}
_EXTRAS = {"onnx": "onnx", "openvino": "cpu"}


def export_bundle(bundle: Bundle, to: Format, path: Path, *, overwrite: bool = False) -> tuple[Path, ...]:
    """Write the network to ``path``; returns the files written (OpenVINO's weights lie beside its .xml).

    Raises ``UsageError`` for an unknown format, another suffix than the format's and packages that are not
    installed, ``OutputError`` where the file exists or cannot be written, ``ModelError`` as
    ``Bundle.dense_network``.
    """
    if to not in get_args(Format):
        raise UsageError(f"There is no format {to!r}.", remedy=f"Choose {', '.join(get_args(Format))}.")
    if path.suffix.lower() != _SUFFIXES[to]:
        raise UsageError(
            f"{path} does not end in {_SUFFIXES[to]}, as {to} files do.",
            remedy=f"Write to {path.with_suffix(_SUFFIXES[to])}.",
        )
    missing = [name for name in _PACKAGES[to] if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(
            f"Writing {to} needs {' and '.join(missing)}, not installed here.",
            remedy=f"pip install 'geopanoptic[{_EXTRAS[to]}]'.",
        )
    if not path.parent.is_dir():
        raise OutputError(f"There is no folder {path.parent}.", remedy="Make it first.")
    # Weights before what refers to them.
    files = (path.with_suffix(".bin"), path) if to == "openvino" else (path,)
    present = [file for file in files if file.exists()]
    if present and not overwrite:
        raise OutputError(
            f"{present[0]} exists.", remedy="Name another file, or add --overwrite (overwrite=True)."
        )

    write: dict[str, Callable[[CompactImage | CompactSeason, Bundle, Path], None]] = {
        "onnx": _write_onnx,
        "openvino": _write_openvino,
        "torch-export": _write_torch,
    }
    try:
        with tempfile.TemporaryDirectory(prefix=".geopanoptic-", dir=path.parent) as scratch:
            # Written under a name in small letters: OpenVINO takes no other suffix.
            written = Path(scratch) / f"model{_SUFFIXES[to]}"
            write[to](_compact(bundle), bundle, written)
            for file in files:
                written.with_suffix(file.suffix.lower()).replace(file)
    except OSError as error:
        raise OutputError(
            f"{path} cannot be written: {error.strerror or error}.", remedy="Choose another folder."
        ) from None
    return files


def metadata(bundle: Bundle) -> dict[str, str]:
    """What a user of the file must know: bands, classes, outputs, stride, reach, scale, licence, origin."""
    temporal = bundle.manifest.network.temporal
    return {
        "model": bundle.name,
        "weights_sha256": bundle.sha256,
        "licence": bundle.manifest.licence,
        "input": "bands (zero where absent or invalid), then one availability flag (0 or 1) per band",
        "bands": json.dumps(bundle.bands),
        "normalisation": bundle.manifest.normalisation.model_dump_json(),
        "outputs": json.dumps([*(each.name for each in bundle.classes), "centre", "boundary", "distance"]),
        "output_scale": str(bundle.output_scale),
        "stride_px": str(bundle.stride_px),
        "reach_px": str(bundle.reach_px),
        "views": str(bundle.views) if bundle.views == 1 else _VIEWS.format(bundle.views),
        "working_pixel_m": str(bundle.working_pixel_m or ""),
        "second_scale": "" if bundle.second_scale is None else _SECOND_SCALE.format(bundle.second_scale),
        **({} if temporal is None else {"dates": _DATES.format(temporal.harmonics)}),
    }


_VIEWS = "{}, turned or mirrored; the outputs are their mean"
_SECOND_SCALE = (
    "{}: every tile is looked at a second time, so many times as large, as suits pixels of working_pixel_m; in scenes "
    "of half that, geopanoptic takes 1/2 instead"
)
_DATES = (
    "input_tchw holds all dates of one place, in any order, day_tchw (T, 2 * {0} + 1, 1, 1) their days d of the year: "
    "sin(2 pi k d / 365.25) for k = 1 to {0}, the cosines likewise, then 1; only zeros where the day is unknown. "
    "South of the equator half a year is added to d. A date without a flag changes nothing."
)


def _compact(bundle: Bundle) -> CompactImage | CompactSeason:
    from geopanoptic.models.networks.compact import CompactImage
    from geopanoptic.models.networks.compact_series import CompactSeason, compact_series
    from geopanoptic.models.networks.series import PanopticUNetSeries
    from geopanoptic.models.networks.two_scales import network_of_looks

    network = bundle.dense_network()
    if isinstance(network, PanopticUNetSeries):
        return CompactSeason(*compact_series(network), bundle.mirrors)
    return CompactImage(network_of_looks(bundle, network), bundle.mirrors)


def _onnx(network: CompactImage | CompactSeason) -> ModelProto:
    from geopanoptic.models.networks.compact import CompactImage
    from geopanoptic.models.onnx_graph import onnx_image, onnx_season

    return onnx_image(network) if isinstance(network, CompactImage) else onnx_season(network)


def _write_onnx(network: CompactImage | CompactSeason, bundle: Bundle, path: Path) -> None:
    from onnx import helper, save

    model = _onnx(network)
    helper.set_model_props(model, metadata(bundle))
    save(model, path)


def _write_openvino(network: CompactImage | CompactSeason, bundle: Bundle, path: Path) -> None:
    import openvino

    model = openvino.Core().read_model(_onnx(network).SerializeToString(), b"")
    for key, value in metadata(bundle).items():
        model.set_rt_info(value, ["geopanoptic", key])
    openvino.save_model(model, path, compress_to_fp16=False)


def _write_torch(network: CompactImage | CompactSeason, bundle: Bundle, path: Path) -> None:
    import torch

    from geopanoptic.models.networks.compact import CompactImage

    stride_px = bundle.stride_px
    example = torch.zeros(2, network.n_inputs, 2 * stride_px, 3 * stride_px)
    # Of sides that are 1 on the coarsest map torch makes another program.
    rows, cols = torch.export.Dim("rows", min=2, max=4096), torch.export.Dim("cols", min=2, max=4096)
    batch = torch.export.Dim("batch", min=1, max=1024)
    inputs, shapes = [example], [{0: batch, 2: rows * stride_px, 3: cols * stride_px}]
    if not isinstance(network, CompactImage):
        inputs.append(torch.zeros(2, network.n_days, 1, 1))
        shapes.append({0: batch})
    program = torch.export.export(network, tuple(inputs), dynamic_shapes=tuple(shapes), strict=False)
    torch.export.save(program, path, extra_files={"geopanoptic.json": json.dumps(metadata(bundle))})
