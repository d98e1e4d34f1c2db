"""Nodes that somebody else computes, where the caller allows it: onnxruntime, or ``onnx.reference`` without it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from typing import Any

import onnx

from .steps import type_of


def compute(proto: onnx.NodeProto, opsets: Mapping[str, int], inputs: Sequence[Any]) -> list[Any]:
    """The outputs of one node, subgraphs without outer values included."""
    named = {name: x for name, x in zip(proto.input, inputs, strict=True) if name}
    graph = onnx.helper.make_graph(
        [proto],
        "node",
        [onnx.helper.make_value_info(name, type_of(x)) for name, x in named.items()],
        [onnx.ValueInfoProto(name=name) for name in proto.output if name],
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(d, v) for d, v in opsets.items()])
    results = iter(_run(model, named))
    return [next(results) if name else None for name in proto.output]


def _run(model: onnx.ModelProto, named: dict[str, Any]) -> list[Any]:
    if find_spec("onnxruntime") is not None:
        import onnxruntime

        model.ir_version = min(model.ir_version, 10)
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 4
        try:
            session = onnxruntime.InferenceSession(model.SerializeToString(), options, ["CPUExecutionProvider"])
            return list(session.run(None, named))
        except Exception as e:  # onnxruntime raises classes of its own for what it lacks
            if not type(e).__module__.startswith("onnxruntime"):
                raise
    from onnx.reference import ReferenceEvaluator

    return list(ReferenceEvaluator(model).run(None, named))
