"""Compact networks as ONNX models, which OpenVINO and ONNX Runtime both read.

The layers are read off by ``torch.fx`` and written with ``onnx.helper``: a tenth of a second. torch's own
exporters take 20 s or are deprecated.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from geopanoptic.models.networks.compact import CompactImage, CompactUNet, depth_to_space
from geopanoptic.models.networks.compact_series import CompactReader, CompactSeason, CompactSeasonDecoder
from geopanoptic.models.networks.heads import DAY, INPUT, JOINED, OUTPUTS

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

    from geopanoptic.models.networks.two_scales import TwoScales

OPSET = 17

_END = 2**62
"""Beyond every axis."""

# While torch.fx traces, it patches modules for all threads.
_TRACING = threading.Lock()

Shape = tuple[int | str, ...]


def onnx_model(network: CompactUNet | TwoScales) -> ModelProto:
    """The network with dynamic batch, height and width; input ``input_bchw``, outputs ``OUTPUTS``."""
    return _model(network, {INPUT: _tile(network.n_inputs)}, _outputs(network.n_outputs))


def onnx_image(image: CompactImage) -> ModelProto:
    """The same with one output, ``probabilities_bchw``."""
    return _model(image, {INPUT: _tile(image.n_inputs)}, {JOINED: _tile(image.n_outputs, "out")})


def onnx_season(season: CompactSeason) -> ModelProto:
    """All dates of one place: inputs ``input_tchw`` and ``day_tchw``, output ``probabilities_bchw`` with B = 1."""
    inputs: dict[str, Shape] = {
        "input_tchw": ("T", season.n_inputs, "H", "W"),
        "day_tchw": ("T", season.n_days, 1, 1),
    }
    return _model(season, inputs, {JOINED: (1, *_tile(season.n_outputs, "out")[1:])})


def onnx_reader(reader: CompactReader) -> ModelProto:
    """What is done for every date: inputs ``input_bchw`` and ``day_bchw``, outputs the named ``sums``."""
    outputs = {
        name: _tile(n_channels, name) for name, n_channels in zip(reader.sums, reader.n_outputs, strict=True)
    }
    return _model(reader, {INPUT: _tile(reader.n_inputs), DAY: ("B", reader.n_days, 1, 1)}, outputs)


def onnx_season_decoder(decoder: CompactSeasonDecoder) -> ModelProto:
    """What is done once: inputs the named ``sums`` over dates, outputs ``OUTPUTS``."""
    inputs = {
        name: _tile(n_channels, name) for name, n_channels in zip(decoder.sums, decoder.n_inputs, strict=True)
    }
    return _model(decoder, inputs, _outputs(decoder.n_outputs), totals=[fx.PH] * len(inputs))


def _outputs(n_channels: Sequence[int]) -> dict[str, Shape]:
    return {name: _tile(n, "out") for name, n in zip(OUTPUTS, n_channels, strict=True)}


def _tile(n_channels: int, name: str = "") -> Shape:
    return ("B", n_channels, f"{name}_H".lstrip("_"), f"{name}_W".lstrip("_"))


def _model(
    network: nn.Module, inputs: Mapping[str, Shape], outputs: Mapping[str, Shape], **concrete: Any
) -> ModelProto:
    from onnx import TensorProto, checker, helper

    with _TRACING:
        traced = fx.symbolic_trace(network, concrete_args=concrete or None)
    writer = _Writer(inputs=iter(inputs), outputs=tuple(outputs))
    for node in traced.graph.nodes:
        writer.add(node, traced)
    starts, ends = (
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name, shape in each.items()]
        for each in (inputs, outputs)
    )
    graph = helper.make_graph(
        writer.nodes, type(network).__name__, starts, ends, list(writer.constants.values())
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="geopanoptic", ir_version=8
    )
    checker.check_model(model)
    return model


@dataclass(slots=True, kw_only=True)
class _Writer:
    """Nodes and constants written so far, and the ONNX name of every traced value."""

    inputs: Iterator[str]
    outputs: tuple[str, ...]
    nodes: list[NodeProto] = field(default_factory=list)
    constants: dict[str, TensorProto] = field(default_factory=dict)
    names: dict[fx.Node, str] = field(default_factory=dict)

    def add(self, node: fx.Node, traced: fx.GraphModule) -> None:
        match node.op:
            case "placeholder":
                self.names[node] = next(self.inputs)
            case "call_module":
                self._add_layer(node, traced.get_submodule(str(node.target)))
            case "output":
                for name, value in zip(self.outputs, node.all_input_nodes, strict=True):
                    self._node("Identity", [self.names[value]], name)
            case _:
                self._add_function(node)

    def _add_layer(self, node: fx.Node, layer: nn.Module) -> None:
        match layer:
            case nn.Identity():
                self.names[node] = self.names[node.args[0]]  # type: ignore[index]
            case nn.Conv2d():
                parameters = [self._constant(f"{node.target}.weight", layer.weight)]
                if layer.bias is not None:
                    parameters.append(self._constant(f"{node.target}.bias", layer.bias))
                self._write(
                    node,
                    "Conv",
                    *parameters,
                    kernel_shape=layer.kernel_size,
                    strides=layer.stride,
                    pads=[*layer.padding, *layer.padding],
                    group=layer.groups,
                )
            case nn.ReplicationPad2d(padding=(left, right, top, bottom)):
                pads = torch.tensor([0, 0, top, left, 0, 0, bottom, right])
                self._write(node, "Pad", self._constant(f"{node.name}.pads", pads), mode="edge")
            case nn.ReLU6():
                bounds = [self._constant(f"{node.name}.{bound}", torch.tensor(bound)) for bound in (0.0, 6.0)]
                self._write(node, "Clip", *bounds)
            case nn.Upsample(mode="bilinear", scale_factor=float(factor)):
                scales = self._constant(f"{node.name}.scales", torch.tensor([1.0, 1.0, factor, factor]))
                self._write(
                    node, "Resize", "", scales, mode="linear", coordinate_transformation_mode="half_pixel"
                )
            case nn.Upsample(mode="nearest", scale_factor=float(factor)):
                scales = self._constant(f"{node.name}.scales", torch.tensor([1.0, 1.0, factor, factor]))
                nearest = {"coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
                self._write(node, "Resize", "", scales, mode="nearest", **nearest)
            case nn.ReLU():
                self._write(node, "Relu")
            case _:
                raise NotImplementedError(f"no ONNX form for layer {type(layer).__name__}")

    def _add_function(self, node: fx.Node) -> None:
        write = _FUNCTIONS.get(node.target)
        if write is None:
            raise NotImplementedError(f"no ONNX form for {node.target}")
        write(self, node)

    def _write(self, node: fx.Node, kind: str, *more: str, **attributes: Any) -> None:
        inputs = [self.names[each] for each in node.all_input_nodes]
        self._node(kind, [*inputs, *more], node.name, **attributes)
        self.names[node] = node.name

    def _node(self, kind: str, inputs: list[str], output: str, **attributes: Any) -> None:
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))

    def _constant(self, name: str, values: Tensor) -> str:
        from onnx import numpy_helper

        # A layer may be called once per view.
        if name not in self.constants:
            self.constants[name] = numpy_helper.from_array(np.ascontiguousarray(values.numpy()), name)
        return name

    def _operation(self, node: fx.Node, kind: str) -> None:
        """Two values or a value and a number, in their order; a value may be both."""
        inputs = [
            self.names[each]
            if isinstance(each, fx.Node)
            else self._constant(f"{node.name}.number", torch.tensor(float(each)))  # type: ignore[arg-type]
            for each in node.args
        ]
        self._node(kind, inputs, node.name)
        self.names[node] = node.name

    def _sum(self, node: fx.Node) -> None:
        axes = self._constant(f"{node.name}.axes", torch.tensor([node.args[1]], dtype=torch.int64))
        self._write(node, "ReduceSum", axes, keepdims=int(node.kwargs["keepdim"]))  # type: ignore[arg-type]

    def _clamp(self, node: fx.Node) -> None:
        self._write(node, "Clip", self._constant(f"{node.name}.least", torch.tensor(node.kwargs["min"])))

    def _slice(self, node: fx.Node) -> None:
        limits = [
            (each.start or 0, _END if each.stop is None else each.stop, axis)
            for axis, each in enumerate(node.args[1])  # type: ignore[arg-type]
            if each != slice(None)
        ]
        starts, ends, axes = zip(*limits, strict=True)
        self._part(node, starts=starts, ends=ends, axes=axes)

    def _flip(self, node: fx.Node) -> None:
        axes: Sequence[int] = node.args[1]  # type: ignore[assignment]
        n = len(axes)
        self._part(node, starts=[-1] * n, ends=[-_END] * n, axes=axes, steps=[-1] * n)

    def _part(self, node: fx.Node, **rows: Sequence[int]) -> None:
        """``rows`` in the order of the operator's inputs."""
        names = [
            self._constant(f"{node.name}.{key}", torch.tensor(row, dtype=torch.int64))
            for key, row in rows.items()
        ]
        self._write(node, "Slice", *names)


_FUNCTIONS: dict[Any, Callable[[_Writer, fx.Node], None]] = {
    operator.add: lambda writer, node: writer._operation(node, "Add"),
    operator.sub: lambda writer, node: writer._operation(node, "Sub"),
    operator.mul: lambda writer, node: writer._operation(node, "Mul"),
    operator.truediv: lambda writer, node: writer._operation(node, "Div"),
    operator.getitem: _Writer._slice,
    torch.flip: _Writer._flip,
    torch.cat: lambda writer, node: writer._write(node, "Concat", axis=node.kwargs.get("dim", 1)),
    depth_to_space: lambda writer, node: writer._write(
        node, "DepthToSpace", blocksize=node.args[1], mode="DCR"
    ),
    nn.functional.avg_pool2d: lambda writer, node: writer._write(
        node, "AveragePool", kernel_shape=[node.args[1]] * 2, strides=[node.args[1]] * 2
    ),
    "amax": lambda writer, node: writer._write(node, "ReduceMax", axes=[node.args[1]], keepdims=1),
    "sum": _Writer._sum,
    "clamp": _Writer._clamp,
    "exp": lambda writer, node: writer._write(node, "Exp"),
    "sqrt": lambda writer, node: writer._write(node, "Sqrt"),
    "tanh": lambda writer, node: writer._write(node, "Tanh"),
    "relu": lambda writer, node: writer._write(node, "Relu"),
    "sigmoid": lambda writer, node: writer._write(node, "Sigmoid"),
    "softmax": lambda writer, node: writer._write(node, "Softmax", axis=node.kwargs["dim"]),
}
