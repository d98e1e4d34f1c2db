"""Runs the nodes of a graph, each by its implementation, by the body of its definition, or by a permitted fallback."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import defs, helper, numpy_helper

import portkernel as pk
from portkernel.errors import UncoveredOperatorError
from portkernel.runtime.statistics import COUNTERS

from .registry import Implementation, Work, find

Value = Any
"""An array, a list of values (a sequence), or None (an optional without a value)."""
Opsets = Mapping[str, int]


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
        raise KeyError(name)


@dataclass(frozen=True, slots=True)
class Node:
    """What a function may ask of the node that it computes."""

    op_type: str
    version: int
    outputs: tuple[str, ...]
    """Names of the outputs; empty for one that nobody wants."""
    run_graph: Callable[[onnx.GraphProto, Sequence[Value]], list[Value]]
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

    functions: Mapping[tuple[str, str], onnx.FunctionProto]
    fallback: Callable[[onnx.NodeProto, Opsets, Sequence[Value]], Sequence[Value]] | None = None
    watch: bool = False
    ran: list[Ran] = field(default_factory=list)

    def graph(
        self, graph: onnx.GraphProto, inputs: Sequence[Value], opsets: Opsets, outer: Scope | None = None
    ) -> list[Value]:
        """The outputs of ``graph``; ``inputs`` in the order of its inputs."""
        scope = Scope({i.name: numpy_helper.to_array(i) for i in graph.initializer}, outer)
        for value, x in zip(graph.input, inputs, strict=False):
            scope.values[value.name] = x
        self.nodes(graph.node, scope, opsets)
        return [scope[o.name] for o in graph.output]

    def nodes(self, nodes: Iterable[onnx.NodeProto], scope: Scope, opsets: Opsets) -> None:
        for node in nodes:
            results = self.node(node, scope, opsets)
            for name, value in zip(node.output, results, strict=False):
                if name:
                    scope.values[name] = value

    def node(self, proto: onnx.NodeProto, scope: Scope, opsets: Opsets) -> Sequence[Value]:
        inputs = [scope[name] if name else None for name in proto.input]
        domain = "" if proto.domain == "ai.onnx" else proto.domain
        local = self.functions.get((proto.domain, proto.op_type))
        if local is not None:
            return self.function(local, proto, inputs, {o.domain: o.version for o in local.opset_import} or opsets)
        version = since_version(domain, proto.op_type, opsets)
        found = find(domain, proto.op_type, version)
        if found is not None:
            return self.implemented(found, proto, inputs, scope, opsets, version)
        body = function_body(proto, domain, opsets, inputs)
        if body is not None:
            return self.function(body, proto, inputs, {o.domain: o.version for o in body.opset_import} or opsets)
        return self.fallen(proto, opsets, inputs, version)

    def fallen(self, proto: onnx.NodeProto, opsets: Opsets, inputs: Sequence[Value], version: int) -> Sequence[Value]:
        """The outputs of a node that has no implementation, by the fallback. Raises UncoveredOperatorError without one."""
        if self.fallback is None:
            raise uncovered_error(proto, version)
        COUNTERS.fallback(f"{proto.op_type}: computed outside portkernel")
        results = self.fallback(proto, opsets, inputs)
        if self.watch:
            self.ran.append(Ran(proto.op_type, "fallback", 0))
        return results

    def implemented(
        self,
        found: Implementation,
        proto: onnx.NodeProto,
        inputs: list[Value],
        scope: Scope,
        opsets: Opsets,
        version: int,
    ) -> Sequence[Value]:
        given = attributes(proto)
        if found.work is Work.KERNELS and any(isinstance(x, np.ndarray) and x.dtype.kind in "OUS" for x in inputs):
            raise UncoveredOperatorError(f"onnx: {proto.op_type}: expected numbers, got strings")
        if found.wants_node:
            given["node"] = Node(
                proto.op_type, version, tuple(proto.output), lambda g, x: self.graph(g, x, opsets, scope)
            )
        before = launches() if self.watch else 0
        results = found.run(*inputs, **given)
        results = results if isinstance(results, tuple) else (results,)
        results = tuple(np.asarray(r) if isinstance(r, np.generic) else r for r in results)  # one element of a view
        if self.watch:
            self.ran.append(Ran(proto.op_type, _how(found, results, launches() - before), launches() - before))
        return results

    def function(
        self, body: onnx.FunctionProto, proto: onnx.NodeProto, inputs: Sequence[Value], opsets: Opsets
    ) -> list[Value]:
        """The outputs of a function's body for the inputs and attributes of the node that calls it."""
        scope = Scope(dict(zip(body.input, [*inputs, *[None] * (len(body.input) - len(inputs))], strict=True)))
        scope.values.update(dict.fromkeys([""], None))
        given = _defaults(proto, opsets) | {a.name: a for a in body.attribute_proto}
        given |= {a.name: a for a in proto.attribute}
        self.nodes([_bound(n, given) for n in body.node], scope, opsets)
        return [scope.values.get(name) for name in body.output]  # None for one that this call does not make


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


def since_version(domain: str, op_type: str, opsets: Opsets) -> int:
    """The opset version of the definition that an operator has under ``opsets``; the opset's own if it is unknown."""
    opset = opsets.get(domain) or (opsets.get("ai.onnx") if not domain else None) or 1
    try:
        return int(defs.get_schema(op_type, opset, domain).since_version)
    except defs.SchemaError:
        return opset


def attributes(proto: onnx.NodeProto) -> dict[str, Any]:
    """The node's attributes: numbers, strings, arrays, graphs, or lists of them."""
    return {a.name: _plain(helper.get_attribute_value(a)) for a in proto.attribute}


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        return numpy_helper.to_array(value)
    if isinstance(value, (list, tuple)) or type(value).__name__.startswith("Repeated"):
        return [_plain(v) for v in value]
    return value


def function_body(
    proto: onnx.NodeProto, domain: str, opsets: Opsets, inputs: Sequence[Value]
) -> onnx.FunctionProto | None:
    """The body that the definition of ``proto`` has, for inputs of these dtypes; None if it has none."""
    opset = opsets.get(domain, opsets.get("ai.onnx", 1)) if not domain else opsets.get(domain, 1)
    try:
        schema: Any = defs.get_schema(proto.op_type, opset, domain)  # its stub lacks the bodies
    except defs.SchemaError:
        return None
    if schema.has_function:
        versions = [v for v in schema.function_opset_versions if v <= opset]
        if versions:
            return _parsed(schema.get_function_with_opset_version(max(versions)))
    if schema.has_context_dependent_function:
        versions = [v for v in schema.context_dependent_function_opset_versions if v <= opset]
        if versions:
            types = [type_of(x).SerializeToString() for x in inputs]
            text = schema.get_context_dependent_function_with_opset_version(
                max(versions), proto.SerializeToString(), types
            )
            return _parsed(text)
    return None


def _parsed(body: bytes | onnx.FunctionProto) -> onnx.FunctionProto:
    if isinstance(body, onnx.FunctionProto):
        return body
    found = onnx.FunctionProto()
    found.ParseFromString(body)
    return found


def type_of(value: Value) -> onnx.TypeProto:
    """The ONNX type of a value; an empty one for an input left out."""
    if value is None:
        return onnx.TypeProto()
    if isinstance(value, list):
        return helper.make_sequence_type_proto(type_of(value[0]) if value else onnx.TypeProto())
    return helper.make_tensor_type_proto(helper.np_dtype_to_tensor_dtype(value.dtype), value.shape)


def _bound(node: onnx.NodeProto, given: Mapping[str, onnx.AttributeProto]) -> onnx.NodeProto:
    """``node`` of a function's body with the caller's attributes in place of references to them."""
    if not _refers(node):
        return node
    made = onnx.NodeProto()
    made.CopyFrom(node)
    del made.attribute[:]
    for a in node.attribute:
        if a.ref_attr_name:
            source = given.get(a.ref_attr_name)
            if source is not None:
                made.attribute.add().CopyFrom(source)
                made.attribute[-1].name = a.name
            continue
        kept = made.attribute.add()
        kept.CopyFrom(a)
        for graph in [kept.g] if a.HasField("g") else kept.graphs:
            bound = [_bound(n, given) for n in graph.node]
            del graph.node[:]
            graph.node.extend(bound)
    return made


def _defaults(proto: onnx.NodeProto, opsets: Opsets) -> dict[str, onnx.AttributeProto]:
    """The attributes that the definition of an operator gives a value where its node gives none."""
    try:
        schema = defs.get_schema(proto.op_type, opsets.get(proto.domain, 1), proto.domain)
    except defs.SchemaError:
        return {}
    return {n: a.default_value for n, a in schema.attributes.items() if a.default_value.type}


def _refers(node: onnx.NodeProto) -> bool:
    return any(
        a.ref_attr_name
        or (a.HasField("g") and any(_refers(n) for n in a.g.node))
        or any(_refers(n) for g in a.graphs for n in g.node)
        for a in node.attribute
    )


def uncovered_error(proto: onnx.NodeProto, version: int) -> UncoveredOperatorError:
    domain = proto.domain or "ai.onnx"
    return UncoveredOperatorError(
        f"onnx: node {proto.name or proto.output[0]!r}: expected an operator that portkernel has, got "
        f"{domain}.{proto.op_type} of opset {version}",
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
