"""Runs the steps of a graph, each by its implementation, by the body of its definition, or by a permitted fallback."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import numpy_helper

import portkernel as pk
from portkernel.errors import ArgumentError, UncoveredOperatorError
from portkernel.runtime.statistics import COUNTERS

from .registry import Implementation, Work
from .steps import Functions, Opsets, Step, Steps, Value

Fallback = Callable[[onnx.NodeProto, Opsets, Sequence[Value]], Sequence[Value]]


@dataclass(frozen=True, slots=True)
class Scope:
    """The values of a graph by name, then those of the graph around it."""

    values: dict[str, Value]
    outer: Scope | None = None

    def __getitem__(self, name: str) -> Value:
        scope: Scope | None = self
        while scope is not None:
            if name in scope.values:
                return scope.values[name]
            scope = scope.outer
        raise ArgumentError(f"onnx: expected a value {name!r} before the node that reads it, got none")


@dataclass(frozen=True, slots=True)
class Node:
    """What a function may ask of the node that it computes."""

    op_type: str
    version: int
    outputs: tuple[str, ...]
    """Names of the outputs; empty for one that nobody wants."""
    run_graph: Callable[[Steps, Sequence[Value]], list[Value]]
    """Computes a subgraph from its inputs, in the scope of the node."""

    def wants(self, i: int) -> bool:
        """True if output ``i`` has a name."""
        return i < len(self.outputs) and bool(self.outputs[i])


@dataclass(frozen=True, slots=True)
class Ran:
    """How a node was computed: ``how`` is kernels, view, control, empty, fallback or unlaunched."""

    op_type: str
    how: str
    launches: int


@dataclass(slots=True)
class Executor:
    """Runs graphs. ``fallback`` computes a node that has no implementation, or is None where none is allowed.

    With ``watch``, ``ran`` collects how each node was computed; the launches are those of ``pk.stats()``.
    """

    functions: Functions
    fallback: Fallback | None = None
    watch: bool = False
    ran: list[Ran] = field(default_factory=list)

    def graph(self, graph: Steps, inputs: Sequence[Value], outer: Scope | None = None) -> list[Value]:
        """The outputs of ``graph``; ``inputs`` in the order of its inputs."""
        scope = Scope({**graph.constants, **dict(zip(graph.inputs, inputs, strict=False))}, outer)
        self.steps(graph, scope)
        return [scope[name] for name in graph.outputs]

    def steps(self, graph: Steps, scope: Scope) -> None:
        for step in graph.steps:
            for name, value in zip(step.outputs, self.step(step, scope), strict=False):
                if name:
                    scope.values[name] = value

    def step(self, step: Step, scope: Scope) -> Sequence[Value]:
        inputs = [scope[name] if name else None for name in step.inputs]
        if step.found is not None:
            results = self.implemented(step, step.found, inputs, scope)
            if results is not None:
                return results
        body = step.local if step.local is not None else step.body(inputs, self.functions)
        return self.fallen(step, inputs) if body is None else self.function(body, inputs)

    def implemented(
        self, step: Step, found: Implementation, inputs: list[Value], scope: Scope
    ) -> tuple[Value, ...] | None:
        """The outputs, or None where the implementation leaves the call to the body of its definition."""
        if found.work is Work.KERNELS and any(isinstance(x, np.ndarray) and x.dtype.kind in "OUS" for x in inputs):
            raise UncoveredOperatorError(f"onnx: {step.name}: expected numbers, got strings")
        given = step.given
        if found.wants_node:
            node = Node(step.proto.op_type, step.version, step.outputs, lambda g, x: self.graph(g, x, scope))
            given = {**given, "node": node}
        before = launches() if self.watch else 0
        try:
            made = found.run(*inputs, **given)
        except (
            ValueError,
            IndexError,
        ) as error:  # of NumPy, whose views serve as ONNX's: shapes and axes that do not fit
            if isinstance(error, pk.PortkernelError):
                raise
            where = f"onnx: node {step.proto.name or step.outputs[0]!r}, {step.name}"
            raise ArgumentError(f"{where}: expected shapes and axes that fit, got {error}") from error
        if made is NotImplemented:
            return None
        results = made if isinstance(made, tuple) else (made,)
        results = tuple(np.asarray(r) if isinstance(r, np.generic) else r for r in results)  # one element of a view
        if self.watch:
            count = launches() - before
            self.ran.append(Ran(step.proto.op_type, _how(found, results, count), count))
        return results

    def fallen(self, step: Step, inputs: Sequence[Value]) -> Sequence[Value]:
        """The outputs of a node that has no implementation, by the fallback. Raises UncoveredOperatorError without one."""
        if self.fallback is None:
            raise uncovered_error(step)
        COUNTERS.fallback(f"{step.proto.op_type}: computed outside portkernel")
        results = self.fallback(step.proto, step.opsets, inputs)
        if self.watch:
            self.ran.append(Ran(step.proto.op_type, "fallback", 0))
        return results

    def function(self, body: Steps, inputs: Sequence[Value]) -> list[Value]:
        """The outputs of a function's body; None for one that this call does not make."""
        absent = [None] * (len(body.inputs) - len(inputs))
        scope = Scope(dict(zip(body.inputs, [*inputs, *absent], strict=True)))
        self.steps(body, scope)
        return [scope.values.get(name) for name in body.outputs]


def launches() -> int:
    """Kernel launches so far, on all backends."""
    return sum(pk.stats().launches.values())


def _how(found: Implementation, results: Sequence[Value], launched: int) -> str:
    if found.work is not Work.KERNELS:
        return str(found.work.value)
    if launched:
        return "kernels"
    return "unlaunched" if any(_elements(r) for r in results) else "empty"


def _elements(value: Value) -> int:
    if isinstance(value, list):
        return sum(_elements(v) for v in value)
    return 0 if value is None else int(value.size)


def uncovered_error(step: Step) -> UncoveredOperatorError:
    return UncoveredOperatorError(
        f"onnx: node {step.proto.name or step.outputs[0]!r}: expected an operator that portkernel has, got "
        f"{step.name} of opset {step.version}",
        hint="prepare(model, fallback=True) lets onnxruntime compute such nodes",
    )


def as_value(x: Any) -> Value:
    """An input as the executor takes it: arrays as they are, scalars and TensorProto as arrays, lists as sequences."""
    if x is None or isinstance(x, np.ndarray):
        return x
    if isinstance(x, onnx.TensorProto):
        return numpy_helper.to_array(x)
    if isinstance(x, onnx.SequenceProto):
        return numpy_helper.to_list(x)
    if isinstance(x, onnx.OptionalProto):
        return numpy_helper.to_optional(x)
    if isinstance(x, (list, tuple)):
        return [as_value(v) for v in x]
    return np.asarray(x)
