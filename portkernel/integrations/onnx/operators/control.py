"""Control flow: subgraphs are run as often as their node says; conditions are read on the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from portkernel import ops
from portkernel.errors import UncoveredOperatorError

from ..executor import Node
from ..registry import Work, operator
from ..steps import Steps
from .arrays import Array

CONTROL = Work.CONTROL


@operator("If", work=CONTROL, node=True)
def if_(condition: Array, then_branch: Steps, else_branch: Steps, node: Node) -> tuple[Any, ...]:
    return tuple(node.run_graph(then_branch if bool(condition.reshape(())) else else_branch, []))


@operator("Loop", work=CONTROL, node=True)
def loop(count: Array | None, condition: Array | None, *state: Any, body: Steps, node: Node) -> tuple[Any, ...]:
    carried = list(state)
    rows: list[list[Any]] = [[] for _ in range(len(body.outputs) - 1 - len(state))]
    limit = None if count is None else int(count.reshape(()))
    i, go = 0, condition is None or bool(condition.reshape(()))
    while go and (limit is None or i < limit):
        seen, *results = node.run_graph(body, [np.asarray(i, np.int64), np.asarray(go), *carried])
        go = bool(seen.reshape(()))
        carried = results[: len(state)]
        for row, value in zip(rows, results[len(state) :], strict=True):
            row.append(value)
        i += 1
    return (*carried, *(stacked(row) for row in rows))


@operator("Scan", since=9, work=CONTROL, node=True)
def scan(
    *given: Any,
    body: Steps,
    num_scan_inputs: int,
    node: Node,
    scan_input_axes: Sequence[int] | None = None,
    scan_input_directions: Sequence[int] | None = None,
    scan_output_axes: Sequence[int] | None = None,
    scan_output_directions: Sequence[int] | None = None,
) -> tuple[Any, ...]:
    split = len(given) - num_scan_inputs
    state, inputs = list(given[:split]), given[split:]
    axes = scan_input_axes or [0] * num_scan_inputs
    back = scan_input_directions or [0] * num_scan_inputs
    seen = [np.moveaxis(x, a, 0) for x, a in zip(inputs, axes, strict=True)]
    seen = [x[::-1] if d else x for x, d in zip(seen, back, strict=True)]
    outputs = len(body.outputs) - split
    rows: list[list[Any]] = [[] for _ in range(outputs)]
    for i in range(seen[0].shape[0]):
        results = node.run_graph(body, [*state, *(x[i] for x in seen)])
        state = results[:split]
        for row, value in zip(rows, results[split:], strict=True):
            row.append(value)
    out_axes = scan_output_axes or [0] * outputs
    out_back = scan_output_directions or [0] * outputs
    return (
        *state,
        *(stacked(row[::-1] if d else row, a) for row, a, d in zip(rows, out_axes, out_back, strict=True)),
    )


@operator("Scan", until=8, work=CONTROL, node=True)
def scan_batches(
    lengths: Array | None, *given: Any, body: Steps, num_scan_inputs: int, node: Node,
    directions: Sequence[int] | None = None,
) -> tuple[Any, ...]:  # fmt: skip
    """Opset 8: a scan for each element of a leading batch axis."""
    if lengths is not None:
        raise UncoveredOperatorError("onnx: Scan of opset 8: expected sequences of one length, got sequence_lens")
    back = {"scan_input_directions": directions}
    batches = [
        scan(*(x[b] for x in given), body=body, num_scan_inputs=num_scan_inputs, node=node, **back)
        for b in range(given[0].shape[0])
    ]
    return tuple(stacked(list(row)) for row in zip(*batches, strict=True))


def stacked(values: list[Array], axis: int = 0) -> Array:
    """Arrays of one shape along a new axis, by kernels."""
    if not values:
        return np.zeros((0,), np.float32)
    at = axis if axis >= 0 else axis + values[0].ndim + 1
    return ops.concatenate([np.expand_dims(v, at) for v in values], at)
