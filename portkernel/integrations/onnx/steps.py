"""A graph as the executor runs it: what does not change from run to run is worked out once, at prepare."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import onnx
from onnx import defs, helper, numpy_helper

from .registry import Implementation, find

Value = Any
"""An array, a list of values (a sequence), or None (an optional without a value)."""
Opsets = Mapping[str, int]
Functions = Mapping[tuple[str, str], onnx.FunctionProto]
_BODIES = 64
"""Bodies kept for a node whose definition makes one for each set of input types; beyond it all are made anew."""


@dataclass(slots=True)
class Step:
    """A node: its implementation, or the function of the model that it calls, and its attributes.

    Graphs among the attributes are Steps. ``bodies`` are those of its definition, by the types of the inputs.
    """

    proto: onnx.NodeProto
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opsets: Opsets
    version: int
    found: Implementation | None
    local: Steps | None
    given: dict[str, Any]
    bodies: dict[tuple[Any, ...], Steps | None] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """``domain.Operator``."""
        return f"{self.proto.domain or 'ai.onnx'}.{self.proto.op_type}"

    def body(self, inputs: Sequence[Value], functions: Functions) -> Steps | None:
        """The body that the definition has, for inputs of these types; None if it has none."""
        key = tuple(_kind(x) for x in inputs)
        if key not in self.bodies:
            if len(self.bodies) >= _BODIES:
                self.bodies.clear()
            found = function_body(self.proto, domain_of(self.proto), self.opsets, inputs)
            self.bodies[key] = None if found is None else of_function(found, self.proto, self.opsets, functions)
        return self.bodies[key]


@dataclass(slots=True)
class Steps:
    """A graph or the body of a function; ``constants`` are its initializers, which nobody may write to."""

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    constants: dict[str, Value]
    steps: tuple[Step, ...]


def of_graph(graph: onnx.GraphProto, opsets: Opsets, functions: Functions) -> Steps:
    """The steps of a graph; its inputs are those that no initializer gives."""
    constants = {i.name: _fixed(numpy_helper.to_array(i)) for i in graph.initializer}
    inputs = tuple(i.name for i in graph.input if i.name not in constants)
    return Steps(inputs, tuple(o.name for o in graph.output), constants, _steps(graph.node, opsets, functions))


def of_function(body: onnx.FunctionProto, proto: onnx.NodeProto, opsets: Opsets, functions: Functions) -> Steps:
    """The steps of a function's body with the attributes of the node ``proto`` that calls it."""
    inner = {o.domain: o.version for o in body.opset_import} or opsets
    given = _defaults(proto, opsets) | {a.name: a for a in body.attribute_proto}
    given |= {a.name: a for a in proto.attribute}
    nodes = [_bound(n, given) for n in body.node]
    return Steps(tuple(body.input), tuple(body.output), {}, _steps(nodes, inner, functions))


def _steps(nodes: Iterable[onnx.NodeProto], opsets: Opsets, functions: Functions) -> tuple[Step, ...]:
    return tuple(_step(n, opsets, functions) for n in nodes)


def _step(proto: onnx.NodeProto, opsets: Opsets, functions: Functions) -> Step:
    domain = domain_of(proto)
    version = since_version(domain, proto.op_type, opsets)
    function = functions.get((proto.domain, proto.op_type))
    local = None if function is None else of_function(function, proto, opsets, functions)
    given = {a.name: _plain(helper.get_attribute_value(a), opsets, functions) for a in proto.attribute}
    found = None if local is not None else find(domain, proto.op_type, version)
    return Step(proto, tuple(proto.input), tuple(proto.output), opsets, version, found, local, given)


def domain_of(proto: onnx.NodeProto) -> str:
    """The domain of a node; that of ONNX itself is the empty one."""
    return "" if proto.domain == "ai.onnx" else proto.domain


def _fixed(x: Value) -> Value:
    x.flags.writeable = False
    return x


def _plain(value: Any, opsets: Opsets, functions: Functions) -> Any:
    """An attribute's value: a number, text, an array, the steps of a graph, or a list of them."""
    if isinstance(value, bytes):
        return value.decode()
    if isinstance(value, onnx.TensorProto):
        return _fixed(numpy_helper.to_array(value))
    if isinstance(value, onnx.GraphProto):
        return of_graph(value, opsets, functions)
    if isinstance(value, (list, tuple)) or type(value).__name__.startswith("Repeated"):
        return [_plain(v, opsets, functions) for v in value]
    return value


def _kind(value: Value) -> tuple[Any, ...]:
    if isinstance(value, list):
        return ("sequence", *(_kind(v) for v in value[:1]))
    return () if value is None else (value.dtype, value.shape)


def since_version(domain: str, op_type: str, opsets: Opsets) -> int:
    """The opset version of the definition that an operator has under ``opsets``; the opset's own if it is unknown."""
    opset = opsets.get(domain) or (opsets.get("ai.onnx") if not domain else None) or 1
    try:
        return int(defs.get_schema(op_type, opset, domain).since_version)
    except defs.SchemaError:
        return opset


# --- bodies of definitions ----------------------------------------------------------------------------------


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
