"""The calls of an ONNX model as ``portkernel coverage --model`` wants them: each node run, compared and described."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx

import portkernel as pk
from portkernel.runtime.observation import probing

from ..observed import How, Launch, Observed, State, noted
from .executor import Executor, Scope
from .fallback import compute
from .registry import Implementation, Work
from .steps import Step, Value, of_graph

_OPEN = (1, 16)
"""The size of a first dimension that a model leaves open, and of any other."""
_HOW: dict[Work, How] = {Work.VIEW: "view", Work.CONTROL: "control"}
_TOLERANCE = {"float16": 1e-2, "bfloat16": 5e-2, "float32": 1e-3, "float64": 1e-6}


def observe(path: str, dims: Mapping[str, int]) -> Iterator[Observed]:
    """Every node that computes, bodies of definitions and subgraphs included, on random inputs."""
    model = onnx.load(path)
    opsets = {o.domain: o.version for o in model.opset_import}
    functions = {(f.domain, f.name): f for f in model.functions}
    watcher = _Watcher(functions, compute)
    graph = of_graph(model.graph, opsets, functions)
    rng = np.random.default_rng(0)
    infos = {i.name: i for i in model.graph.input}
    watcher.graph(graph, [_input(infos[name], dims, rng) for name in graph.inputs])
    yield from watcher.seen


@dataclass(slots=True)
class _Watcher(Executor):
    """An executor that describes what it runs."""

    seen: list[Observed] = field(default_factory=list)

    def implemented(
        self, step: Step, found: Implementation, inputs: list[Value], scope: Scope
    ) -> tuple[Value, ...] | None:
        before = pk.stats().launches
        results = Executor.implemented(self, step, found, inputs, scope)
        if results is None:
            return None
        described = tuple(map(described_value, inputs)), tuple(map(described_value, results))
        if found.work is not Work.KERNELS:
            self.seen.append(Observed(step.name, *described, _HOW[found.work], "untested", "", 0))
            return results
        made = {k: n - before.get(k, 0) for k, n in pk.stats().launches.items() if n > before.get(k, 0)}
        route = next((backend for _, backend in made), "")
        state, detail = self._judge(step, inputs, results)
        recorded: list[Launch] = []
        try:
            with probing(noted(recorded)):
                Executor.implemented(self, step, found, inputs, scope)
        except (pk.PortkernelError, ValueError, IndexError):  # what is not computed may not serve as a shape
            pass
        flops = operations(step.proto, inputs, results)
        self.seen.append(Observed(step.name, *described, "kernels", state, detail, flops, route, tuple(recorded)))
        return results

    def _judge(self, step: Step, inputs: Sequence[Value], results: Sequence[Value]) -> tuple[State, str]:
        """The state of a node that ran, from what another runtime makes of it."""
        try:
            wanted = compute(step.proto, step.opsets, inputs)
        except Exception as error:  # the other runtime may lack the operator
            return "untested", f"ran, but nothing to compare with: {type(error).__name__}"
        for got, want in zip(results, wanted, strict=False):
            if isinstance(want, np.ndarray) and not _agree(got, want):
                return "wrong", "the result differs from another runtime's"
        return "native", ""

    def fallen(self, step: Step, inputs: Sequence[Value]) -> Sequence[Value]:
        results = compute(step.proto, step.opsets, inputs)
        described = tuple(map(described_value, inputs)), tuple(map(described_value, results))
        reason = f"no operator for {step.name} of opset {step.version}"
        flops = operations(step.proto, inputs, results)
        self.seen.append(Observed(step.name, *described, "uncovered", "unsupported", reason, flops))
        return results


def _agree(got: Value, want: Value) -> bool:
    if got.shape != want.shape or got.dtype != want.dtype:
        return False
    if want.dtype.kind in "iub":
        return bool((got == want).all())
    tolerance = _TOLERANCE.get(want.dtype.name, 1e-3)
    a, b = got.astype(np.float64), want.astype(np.float64)
    scale = float(np.abs(b[np.isfinite(b)]).max(initial=0.0))
    return bool(np.allclose(a, b, rtol=tolerance, atol=tolerance * max(scale, 1e-30), equal_nan=True))


def described_value(value: Value) -> str:
    """``float32[2, 3]``; "—" for an input left out, "sequence" for a list."""
    if value is None:
        return "—"
    if isinstance(value, list):
        return f"sequence[{len(value)}]"
    return f"{value.dtype}[{', '.join(map(str, value.shape))}]"


def _input(info: onnx.ValueInfoProto, dims: Mapping[str, int], rng: np.random.Generator) -> Value:
    """Random floats, and small integers that serve as indices and masks alike: 0 and 1."""
    if not info.type.HasField("tensor_type"):
        raise pk.errors.ArgumentError(
            f"coverage: --model: expected tensors as inputs, got a sequence for {info.name!r}"
        )
    kind = info.type.tensor_type
    shape = [
        d.dim_value if d.HasField("dim_value") else dims.get(d.dim_param, _OPEN[i > 0])
        for i, d in enumerate(kind.shape.dim)
    ]
    dtype = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type))
    if dtype.kind in "iu":
        return rng.integers(0, 2, shape).astype(dtype)
    if dtype.kind == "b":
        return np.ones(shape, dtype)
    return np.asarray(rng.standard_normal(shape)).astype(dtype)


def operations(proto: onnx.NodeProto, inputs: Sequence[Value], results: Sequence[Value]) -> int:
    """Floating-point operations: two for each multiply-add of a product, one for each element elsewhere."""
    arrays = [x for x in inputs if isinstance(x, np.ndarray)]
    out = sum(r.size for r in results if isinstance(r, np.ndarray))
    match proto.op_type:
        case "MatMul" | "Gemm" | "MatMulInteger" | "QLinearMatMul":
            flipped = any(a.name == "transA" and a.i for a in proto.attribute)
            return int(2 * results[0].size * arrays[0].shape[0 if flipped else -1])
        case "Conv" | "ConvInteger" | "QLinearConv":
            weight = arrays[3] if proto.op_type == "QLinearConv" else arrays[1]
            return int(2 * results[0].size * math.prod(weight.shape[1:]))
        case "ConvTranspose":
            return int(2 * arrays[0].size * math.prod(arrays[1].shape[1:]))
        case "RNN" | "GRU" | "LSTM":
            steps = arrays[0].shape[0] * arrays[0].shape[1]
            return int(2 * steps * (arrays[1].size + arrays[2].size))
        case _:
            return max(out, max((x.size for x in arrays), default=0))
