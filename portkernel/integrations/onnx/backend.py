"""``onnx.backend.base`` for portkernel: prepare, run, and say what a model needs that is not there."""

from __future__ import annotations

import unittest
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError  # type: ignore[import-untyped]
from onnx import checker, defs
from onnx.backend import base

import portkernel as pk

from .executor import Executor, Ran, as_value
from .fallback import compute
from .registry import find
from .steps import Opsets, Value, domain_of, of_graph, since_version

Device = str
_HOST = "CPU"


class Rep(base.BackendRep):
    """A model that is ready to run.

    ``ran`` says how each node of the last run was computed, if ``watch`` is on.
    """

    def __init__(self, model: onnx.ModelProto, fallback: bool, route: Mapping[str, Any]) -> None:
        self.model, self.route = model, dict(route)
        self.opsets: Opsets = {o.domain: o.version for o in model.opset_import}
        self.functions = {(f.domain, f.name): f for f in model.functions}
        self.graph = of_graph(model.graph, self.opsets, self.functions)
        self.fallback = fallback
        self.watch = False
        self.ran: list[Ran] = []

    def run(self, inputs: Any, **kwargs: Any) -> tuple[Value, ...]:
        """The model's outputs, in order; ``inputs`` are arrays in the order of the graph's inputs, or by name.

        Arrays are NumPy's; sequences are lists. Initializers that are inputs too may be given. Raises ArgumentError for an
        input that is missing or unknown, ArgumentDTypeError and ArgumentShapeError for one that is not as the model has it.
        """
        named = {n: as_value(x) for n, x in self._named(inputs).items()}
        for info in self.model.graph.input:
            if info.name in named:
                _check_input(info, named[info.name])
        executor = Executor(self.functions, compute if self.fallback else None, self.watch)
        given_constants = {n: x for n, x in named.items() if n in self.graph.constants}
        graph = replace(self.graph, constants=self.graph.constants | given_constants) if given_constants else self.graph
        with pk.use(**self.route):
            results = executor.graph(graph, [named[n] for n in self.graph.inputs])
        self.ran = executor.ran
        return tuple(results)

    def _named(self, inputs: Any) -> dict[str, Any]:
        wanted, known = self.graph.inputs, [i.name for i in self.model.graph.input]
        if isinstance(inputs, Mapping):
            named = dict(inputs)
        else:
            given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
            names = wanted if len(given) <= len(wanted) else known
            if len(given) > len(names):
                raise pk.errors.ArgumentError(f"run(): inputs: expected at most {len(names)}, got {len(given)}")
            named = dict(zip(names, given, strict=False))
        for name in wanted:
            if name not in named:
                raise pk.errors.ArgumentError(f"run(): inputs: expected {', '.join(wanted)}, got no {name}")
        for name in named:
            if name not in known:
                raise pk.errors.ArgumentError(f"run(): inputs: expected {', '.join(known)}, got {name}")
        return named


def _check_input(info: onnx.ValueInfoProto, value: Value) -> None:
    """Where the model says what an input is, a tensor must be that."""
    if not info.type.HasField("tensor_type") or not isinstance(value, np.ndarray):
        return
    kind = info.type.tensor_type
    wanted = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)) if kind.elem_type else value.dtype
    if value.dtype != wanted and not {value.dtype.kind, wanted.kind} <= {"O", "U", "S"}:
        raise pk.errors.ArgumentDTypeError(f"run(): {info.name}: expected {wanted}, got {value.dtype}")
    if not kind.HasField("shape"):
        return
    sizes = [d.dim_value if d.HasField("dim_value") else None for d in kind.shape.dim]
    if len(sizes) != value.ndim or any(n is not None and n != m for n, m in zip(sizes, value.shape, strict=True)):
        names = ", ".join(str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?" for d in kind.shape.dim)
        raise pk.errors.ArgumentShapeError(f"run(): {info.name}: expected shape ({names}), got {value.shape}")


class _Skipped(pk.errors.UncoveredOperatorError, unittest.SkipTest):
    """What the ONNX project's runner counts as a test that is not meant for a backend."""


class _TestedRep(Rep):
    def run(self, inputs: Any, **kwargs: Any) -> tuple[Value, ...]:
        with _skipping():
            return Rep.run(self, inputs, **kwargs)


@contextmanager
def _skipping() -> Iterator[None]:
    try:
        yield
    except pk.errors.UncoveredOperatorError as error:
        raise _Skipped(error.message, hint=error.hint) from None


class Backend(base.Backend):
    """The functions of this module as the class that ``onnx.backend.test.BackendTest`` takes.

    What is not covered is a skipped test there: count them, or see :mod:`.cases`, which does.
    """

    @classmethod
    def is_compatible(cls, model: onnx.ModelProto, device: Device = _HOST, **kwargs: Any) -> bool:
        return is_compatible(model, device)

    @classmethod
    def prepare(cls, model: onnx.ModelProto, device: Device = _HOST, **kwargs: Any) -> Rep:
        with _skipping():
            found = prepare(model, device, **kwargs)
        return _TestedRep(found.model, found.fallback, found.route)

    @classmethod
    def run_model(cls, model: onnx.ModelProto, inputs: Any, device: Device = _HOST, **kwargs: Any) -> tuple[Value, ...]:
        return cls.prepare(model, device, **kwargs).run(inputs)

    @classmethod
    def run_node(
        cls, node: onnx.NodeProto, inputs: Any, device: Device = _HOST, outputs_info: Any = None, **kwargs: Any
    ) -> tuple[Value, ...]:
        with _skipping():
            return run_node(node, inputs, device, **kwargs)

    @classmethod
    def supports_device(cls, device: Device) -> bool:
        return supports_device(device)


def prepare(
    model: onnx.ModelProto | str | bytes,
    device: Device = _HOST,
    *,
    fallback: bool = False,
    strict: bool = False,
    backend: str | None = None,
    **kwargs: Any,
) -> Rep:
    """``model``, a ModelProto, a file or its bytes, ready to run on ``device`` ("CPU", as ONNX names it).

    ``backend`` forces a route as ``pk.use(backend=)`` does, and ``strict`` refuses every fallback of a launch. With
    ``fallback`` onnxruntime, or ``onnx.reference`` without it, computes nodes that portkernel has no operator for;
    ``pk.stats().fallbacks`` counts them. Raises UncoveredOperatorError for such a node otherwise, ArgumentError for a model
    that is none or has a node that its operator's definition does not allow, and NoDeviceError for another device.
    """
    if not supports_device(device):
        raise pk.errors.NoDeviceError(
            f"prepare(): device: expected CPU, got {device!r}", hint="name a route by backend="
        )
    loaded = _model(model)
    missing = () if fallback else uncovered(loaded)
    if missing:
        raise pk.errors.UncoveredOperatorError(
            f"prepare(): model: expected operators that portkernel has, got {', '.join(missing)}",
            hint="prepare(model, fallback=True) lets onnxruntime compute such nodes",
        )
    _check_nodes(loaded)
    return Rep(loaded, fallback, {"backend": backend, "strict": strict or None})


def _check_nodes(model: onnx.ModelProto) -> None:
    """Inputs and attributes of every node, as the onnx package checks them; the names of values as the executor does."""
    context: Any = checker.C.CheckerContext()
    context.ir_version = model.ir_version
    context.opset_imports = {o.domain: o.version for o in model.opset_import}
    for node in _nodes(model.graph.node):
        if any(a.HasField("g") or a.graphs for a in node.attribute):
            continue  # it would want the names around its subgraphs
        try:
            checker.check_node(node, context)
        except checker.ValidationError as error:
            text = str(error).strip().partition("\n")[0]
            raise pk.errors.ArgumentError(
                f"prepare(): model: expected nodes that ONNX allows, got one that is not: {text}"
            ) from None


def _nodes(nodes: Iterable[onnx.NodeProto]) -> Iterator[onnx.NodeProto]:
    for node in nodes:
        yield node
        for a in node.attribute:
            for graph in [a.g] if a.HasField("g") else a.graphs:
                yield from _nodes(graph.node)


def run_model(model: onnx.ModelProto, inputs: Any, device: Device = _HOST, **kwargs: Any) -> tuple[Value, ...]:
    """``prepare(model, device).run(inputs)``."""
    return prepare(model, device, **kwargs).run(inputs)


def run_node(
    node: onnx.NodeProto, inputs: Any, device: Device = _HOST, opset: int | None = None, **kwargs: Any
) -> tuple[Value, ...]:
    """The outputs of one node, under ``opset`` (the newest that onnx has)."""
    given = [as_value(x) for x in inputs]
    names = [name for name in node.input if name]
    graph = onnx.helper.make_graph(
        [node],
        "node",
        [onnx.ValueInfoProto(name=n) for n in dict.fromkeys(names)],
        [onnx.ValueInfoProto(name=n) for n in node.output if n],
    )
    version = opset or defs.onnx_opset_version()
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid(node.domain, version)])
    return prepare(model, device, **kwargs).run(dict(zip(names, [x for x in given if x is not None], strict=False)))


def supports_device(device: Device) -> bool:
    """True for "CPU": arrays come and go in host memory, wherever the kernels run."""
    return device.split(":")[0] == _HOST


def is_compatible(model: onnx.ModelProto, device: Device = _HOST) -> bool:
    """True where every node of ``model`` can be computed without a fallback."""
    return supports_device(device) and not uncovered(_model(model))


def uncovered(model: onnx.ModelProto) -> tuple[str, ...]:
    """The operators of ``model`` that portkernel has neither an implementation nor a body for: ``domain.Name``."""
    opsets = {o.domain: o.version for o in model.opset_import}
    functions = {(f.domain, f.name): f for f in model.functions}
    found: dict[str, None] = {}
    for domain, name, version in _needed(model.graph.node, opsets, functions):
        found.setdefault(f"{domain or 'ai.onnx'}.{name} ({version})")
    return tuple(found)


def _needed(
    nodes: Iterable[onnx.NodeProto], opsets: Opsets, functions: Mapping[tuple[str, str], onnx.FunctionProto]
) -> Iterator[tuple[str, str, int]]:
    for node in nodes:
        domain = domain_of(node)
        for a in node.attribute:
            for graph in [a.g] if a.HasField("g") else a.graphs:
                yield from _needed(graph.node, opsets, functions)
        local = functions.get((node.domain, node.op_type))
        if local is not None:
            inner = {o.domain: o.version for o in local.opset_import} or opsets
            yield from _needed(local.node, inner, functions)
            continue
        version = since_version(domain, node.op_type, opsets)
        if find(domain, node.op_type, version) is None and not _has_body(node.op_type, domain, opsets, functions):
            yield domain, node.op_type, version


def _has_body(
    op_type: str, domain: str, opsets: Opsets, functions: Mapping[tuple[str, str], onnx.FunctionProto]
) -> bool:
    """True where the definition has a body; what it is made of is known for bodies that no dtype decides."""
    try:
        schema: Any = defs.get_schema(op_type, opsets.get(domain, 1), domain)
    except defs.SchemaError:
        return False
    if schema.has_function:
        body = schema.function_body
        inner = {o.domain: o.version for o in body.opset_import} or opsets
        return next(_needed(body.node, inner, functions), None) is None
    return bool(schema.has_context_dependent_function)


def _model(model: onnx.ModelProto | str | bytes) -> onnx.ModelProto:
    if isinstance(model, onnx.ModelProto):
        return model
    try:
        return onnx.load_model_from_string(model) if isinstance(model, bytes) else onnx.load(model)
    except (DecodeError, OSError, TypeError) as error:
        shown = "bytes" if isinstance(model, bytes) else repr(model)
        raise pk.errors.ArgumentError(
            f"prepare(): model: expected a ModelProto, a file of one or its bytes, got {shown}: {error}"
        ) from None


__all__ = ["Backend", "Rep", "is_compatible", "prepare", "run_model", "run_node", "supports_device", "uncovered"]
