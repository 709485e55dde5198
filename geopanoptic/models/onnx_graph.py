"""``CompactUNet`` as an ONNX model, which OpenVINO and ONNX Runtime both read.

The layers are read off by ``torch.fx`` and written with ``onnx.helper``: a tenth of a second. torch's own
exporters take 20 s or are deprecated, which would ask for a cache of exported files; here there is none.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, fx, nn

from geopanoptic.models.compact import CompactUNet

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto, TensorProto

OPSET = 17
INPUT, OUTPUT = "input_bchw", "probabilities_bchw"


def onnx_model(network: CompactUNet) -> ModelProto:
    """The network with dynamic batch, height and width; input ``input_bchw``, output ``probabilities_bchw``."""
    from onnx import TensorProto, checker, helper

    traced = fx.symbolic_trace(network)
    writer = _Writer()
    for node in traced.graph.nodes:
        writer.add(node, traced)
    graph = helper.make_graph(
        writer.nodes,
        "CompactUNet",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["B", network.n_inputs, "H", "W"])],
        [
            helper.make_tensor_value_info(
                OUTPUT, TensorProto.FLOAT, ["B", network.n_outputs, "out_H", "out_W"]
            )
        ],
        writer.constants,
    )
    model = helper.make_model(
        graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="geopanoptic", ir_version=8
    )
    checker.check_model(model)
    return model


@dataclass(slots=True, kw_only=True)
class _Writer:
    """Nodes and constants written so far, and the ONNX name of every traced value."""

    nodes: list[NodeProto] = field(default_factory=list)
    constants: list[TensorProto] = field(default_factory=list)
    names: dict[fx.Node, str] = field(default_factory=dict)

    def add(self, node: fx.Node, traced: fx.GraphModule) -> None:
        match node.op:
            case "placeholder":
                self.names[node] = INPUT
            case "call_module":
                self._add_layer(node, traced.get_submodule(str(node.target)))
            case "output":
                self._node("Identity", [self.names[node.args[0]]], OUTPUT)  # type: ignore[index]
            case _:
                self._add_function(node)

    def _add_layer(self, node: fx.Node, layer: nn.Module) -> None:
        match layer:
            case nn.Identity():
                self.names[node] = self.names[node.args[0]]  # type: ignore[index]
            case nn.Conv2d():
                parameters = [self._constant(f"{node.name}.weight", layer.weight)]
                if layer.bias is not None:
                    parameters.append(self._constant(f"{node.name}.bias", layer.bias))
                self._write(
                    node,
                    "Conv",
                    *parameters,
                    kernel_shape=layer.kernel_size,
                    strides=layer.stride,
                    pads=[*layer.padding, *layer.padding],
                    group=layer.groups,
                )
            case nn.ReLU6():
                bounds = [self._constant(f"{node.name}.{bound}", torch.tensor(bound)) for bound in (0.0, 6.0)]
                self._write(node, "Clip", *bounds)
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

        self.constants.append(numpy_helper.from_array(np.ascontiguousarray(values.numpy()), name))
        return name

    def _slice(self, node: fx.Node) -> None:
        limits = [
            (axis, each.start or 0, math.inf if each.stop is None else each.stop)
            for axis, each in enumerate(node.args[1])  # type: ignore[arg-type]
            if each != slice(None)
        ]
        axes, starts, stops = zip(*limits, strict=True)
        rows = {"starts": starts, "ends": [min(stop, 2**62) for stop in stops], "axes": axes}
        names = [
            self._constant(f"{node.name}.{key}", torch.tensor(row, dtype=torch.int64))
            for key, row in rows.items()
        ]
        self._write(node, "Slice", *names)


_FUNCTIONS: dict[Any, Callable[[_Writer, fx.Node], None]] = {
    operator.add: lambda writer, node: writer._write(node, "Add"),
    operator.getitem: _Writer._slice,
    torch.cat: lambda writer, node: writer._write(node, "Concat", axis=node.kwargs.get("dim", 1)),
    nn.functional.pixel_shuffle: lambda writer, node: writer._write(
        node, "DepthToSpace", blocksize=node.args[1], mode="CRD"
    ),
    "relu": lambda writer, node: writer._write(node, "Relu"),
    "sigmoid": lambda writer, node: writer._write(node, "Sigmoid"),
    "softmax": lambda writer, node: writer._write(node, "Softmax", axis=node.kwargs["dim"]),
}
