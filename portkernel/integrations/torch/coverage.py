"""``pk.coverage_of``: how much of a model's graph runs on our operators, node by node."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch._dynamo.backends.common import aot_autograd
from torch._functorch import aot_autograd as aot_module
from torch._ops import OpOverload
from torch.fx import GraphModule, Node
from torch.utils.flop_counter import flop_registry

from .aten import why_not
from .cleanup import clean
from .compile import decompositions
from .fusion import arguments, meta
from .pointwise import BINDS
from .rules import TABLE, aten, kind_of, tensors_in

aot: Any = aot_module
dynamo: Any = torch._dynamo


@dataclass(frozen=True, slots=True)
class NodeCoverage:
    """One node of a graph of ATen. ``operator`` is ours; ``reason`` says why there is none."""

    graph: str
    """``inference``, ``forward`` or ``backward``, with a number from the second on."""
    overload: str
    operator: str
    reason: str
    flops: int


@dataclass(frozen=True, slots=True)
class ModelCoverage:
    """The nodes of a model that compute, and how many others only look at tensors or make them."""

    nodes: tuple[NodeCoverage, ...]
    views: int

    @property
    def covered(self) -> tuple[NodeCoverage, ...]:
        """The nodes that an operator computes."""
        return tuple(n for n in self.nodes if not n.reason)

    @property
    def uncovered(self) -> tuple[NodeCoverage, ...]:
        """The nodes that run in PyTorch."""
        return tuple(n for n in self.nodes if n.reason)

    @property
    def flops(self) -> int:
        """Floating-point operations of all nodes: a multiplication and an addition count as two."""
        return sum(n.flops for n in self.nodes)

    @property
    def flops_covered(self) -> int:
        """Those of the covered nodes."""
        return sum(n.flops for n in self.covered)

    def __str__(self) -> str:
        share = self.flops_covered / self.flops if self.flops else 1.0
        lines = [
            f"{len(self.covered)} of {len(self.nodes)} nodes, {share:.2%} of {_flops(self.flops)} covered; "
            f"{self.views} views and allocations launch nothing",
            *_table(self.covered, lambda n: n.operator),
        ]
        if self.uncovered:
            lines += ["in PyTorch:", *_table(self.uncovered, lambda n: n.reason)]
        return "\n".join(lines)


def _flops(count: int) -> str:
    for unit, size in (("TFLOP", 10**12), ("GFLOP", 10**9), ("MFLOP", 10**6)):
        if count >= size:
            return f"{count / size:.2f} {unit}"
    return f"{count} FLOP"


def _table(nodes: Sequence[NodeCoverage], last: Callable[[NodeCoverage], str]) -> list[str]:
    """A line for each overload and last word: how many, how much, which."""
    counts: Counter[tuple[str, str]] = Counter()
    flops: Counter[tuple[str, str]] = Counter()
    for n in nodes:
        counts[n.overload, last(n)] += 1
        flops[n.overload, last(n)] += n.flops
    width = max((len(overload) for overload, _ in counts), default=0)
    rows = sorted(counts, key=lambda key: (-flops[key], key))
    return [f"  {counts[key]:5d} × {key[0]:{width}}  {_flops(flops[key]):>14}  {key[1]}" for key in rows]


def coverage_of(model: Callable[..., Any], example_inputs: Any, *, training: bool = False) -> ModelCoverage:
    """Which nodes of ``model``'s graphs our operators compute, and why the others run in PyTorch.

    ``example_inputs`` is one tensor, a sequence of arguments or a mapping of them by name. The model runs once, in PyTorch,
    without gradients; with ``training`` the gradients of the sum of its floating results are asked for too, and the
    nodes of the backward graphs count. Graphs are those that ``torch.compile(model, backend="portkernel")`` gets, before
    anything is fused.

    >>> import torch, portkernel as pk
    >>> report = pk.coverage_of(torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.ReLU()), torch.ones(2, 3))
    >>> len(report.covered), len(report.uncovered), report.flops
    (2, 0, 56)
    """
    graphs: list[tuple[str, GraphModule]] = []
    compiled: Any = torch.compile(model, backend=_collector(graphs))
    args, kwargs = _inputs(example_inputs)
    with dynamo.config.patch(capture_dynamic_output_shape_ops=True), torch.set_grad_enabled(training):
        result = compiled(*args, **kwargs)
    if training:
        losses = [t.float().sum() for t in _leaves(result) if t.is_floating_point() and t.requires_grad]
        if losses:
            torch.stack(losses).sum().backward()  # type: ignore[no-untyped-call]
    nodes: list[NodeCoverage] = []
    views = 0
    for name, module in graphs:
        for node in module.graph.nodes:
            if node.op != "call_function" or not isinstance(node.target, OpOverload):
                continue
            if kind_of(node.target) != "compute":
                views += 1
            else:
                nodes.append(_node(name, node, node.target))
    return ModelCoverage(tuple(nodes), views)


def _inputs(given: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(given, Mapping):
        return (), dict(given)
    return (tuple(given), {}) if isinstance(given, (tuple, list)) else ((given,), {})


def _leaves(result: Any) -> list[torch.Tensor]:
    leaves = torch.utils._pytree.tree_leaves(result)
    return [t for t in leaves if isinstance(t, torch.Tensor)]


def _collector(graphs: list[tuple[str, GraphModule]]) -> Callable[..., Any]:
    """A backend that keeps the graphs of ATen and runs them in PyTorch."""

    def keep(kind: str) -> Callable[[GraphModule, Sequence[Any]], Any]:
        def compile_graph(module: GraphModule, inputs: Sequence[Any]) -> Any:
            number = 1 + sum(name.partition(" ")[0] == kind for name, _ in graphs)
            clean(module)
            module.recompile()
            graphs.append((kind if number == 1 else f"{kind} {number}", module))
            return aot.make_boxed_func(module.forward)

        return compile_graph

    backend: Callable[..., Any] = aot_autograd(
        fw_compiler=keep("forward"),
        bw_compiler=keep("backward"),
        inference_compiler=keep("inference"),
        decompositions=decompositions(),
    )
    return backend


def _node(graph: str, node: Node, op: OpOverload) -> NodeCoverage:
    args, kwargs = arguments(node)
    rule = TABLE.get(op)
    if op is aten.copy_.default:
        operator, reason = "elementwise", ""
    else:
        operator, reason = rule.operator if rule is not None else "", why_not(op, args, kwargs)
    name = str(op).removeprefix("aten.").removesuffix(".default")
    return NodeCoverage(graph, name, operator, reason, flops(node, op))


def flops(node: Node, op: OpOverload) -> int:
    """PyTorch's count where it has one, else one operation for each element read or written, whichever is more."""
    args, kwargs = arguments(node)
    value = meta(node)
    formula = flop_registry.get(op._overloadpacket)
    if formula is not None:
        return int(formula(*args, **kwargs, out_val=value))
    if op in BINDS and BINDS[op].__name__ in ("_clone", "_to_copy", "_copy", "_fill"):
        return 0
    sizes = [math.prod(t.shape) for t in tensors_in(value, *args) if t.dtype.is_floating_point]
    return int(max(sizes, default=0))


__all__ = ["ModelCoverage", "NodeCoverage", "coverage_of", "flops"]
