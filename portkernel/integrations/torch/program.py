"""A graph of ATen as something to call: a list of steps, and once it is known what they launch, the launches alone."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch._ops import OpOverload
from torch.fx import GraphModule, Node

import portkernel as pk
from portkernel import config
from portkernel.errors import FallbackError
from portkernel.runtime.observation import OBSERVED, probing
from portkernel.runtime.recorder import Recorder, Recording, recording
from portkernel.runtime.replay import MISSED, Replay
from portkernel.runtime.statistics import COUNTERS

from . import tiles
from .aten import why_not
from .fusion import FUSED, Fused, arguments, meta
from .pointwise import Bound, new
from .pointwise import launch as pointwise
from .rules import TABLE, aten, kind_of

_log = logging.getLogger("portkernel")
_TRIALS = 5
_KEPT_BYTES = 1 << 30
"""Scratch memory of a graph up to this size stays with its thread."""


@dataclass(frozen=True, slots=True)
class Step:
    """One node: ``run`` of arguments, in which nodes stand for what they gave."""

    node: Node
    run: Callable[..., Any]
    last_use: tuple[Node, ...]
    """The nodes whose results nobody needs after this one."""


@dataclass(frozen=True, slots=True)
class Uncovered:
    """A node that runs in PyTorch, and why."""

    node: Node
    overload: str
    reason: str


def uncovered(graph: torch.fx.Graph) -> list[Uncovered]:
    """The nodes that compute and have no operator."""
    found = []
    for node in graph.nodes:
        if node.op == "call_function" and isinstance(node.target, OpOverload):
            args, kwargs = arguments(node)
            if node.target is aten.copy_.default:
                continue
            reason = why_not(node.target, args, kwargs)
            if reason:
                found.append(Uncovered(node, str(node.target), reason))
    return found


class Program:
    """``program(args)`` is what the graph gives for its inputs, in a list that it empties."""

    def __init__(self, module: GraphModule, strict: bool, once: Sequence[Node]) -> None:
        """``once``: nodes that depend on inputs alone and are kept while those do not change."""
        self.module = module
        self.inputs = [n for n in module.graph.nodes if n.op == "placeholder"]
        self.uncovered = {u.node: u for u in uncovered(module.graph)}
        self.refusal = _refusal(list(self.uncovered.values())) if strict and self.uncovered else None
        self.once = list(once)
        self.constants = _constants(module)
        self._made: dict[Node, Any] | None = None
        self._before, self._steps, self._results = _steps(self)
        self._kept: tuple[tuple[Any, ...], dict[Node, Any]] | None = None
        self._sources = [i for i, n in enumerate(self.inputs) if any(n in o.all_input_nodes for o in self.once)]
        self._after = _aliases(self)
        self._table: dict[object, tuple[int, Recording | None] | _Ready] = {}
        self._lock = threading.Lock()

    def __call__(self, args: list[Any]) -> Any:
        if self.refusal is not None:
            raise self.refusal
        values, given = self._given(args)
        args.clear()
        settings = config.get()
        tensors = [t for t in given if isinstance(t, torch.Tensor)]
        addresses = [t.data_ptr() for t in tensors]
        bits = 0
        for a in addresses:
            bits |= a
        if self.uncovered or OBSERVED.is_watched or OBSERVED.tracer is not None:  # who looks on sees every operator
            return self._finish(values, self._compute(values))
        alignment = tuple(a & 15 for a in addresses) if bits & 15 else ()
        key = (id(settings), alignment, *(x for x in given if not isinstance(x, torch.Tensor)))
        entry = self._table.get(key)
        if type(entry) is _Ready:
            computed = entry.run(tensors, addresses)
            if computed is not MISSED:
                return self._finish(values, computed)
            return self._finish(values, self._compute(values))
        return self._finish(values, self._learn(key, entry, settings, values, tensors))  # type: ignore[arg-type]

    def _given(self, args: Sequence[Any]) -> tuple[dict[Node, Any], list[Any]]:
        """What is known before the first step: inputs, constants, and what is kept from call to call."""
        values: dict[Node, Any] = dict(zip(self.inputs, args, strict=True))
        made = self._made
        if made is None:  # at the first call: while graphs are compiled, new tensors are fake
            made = self._made = {n: _constant(self.module, n) for n in self.constants}
        values.update(made)
        given = [*args, *made.values()]
        if self.once:
            derived = self._derived(values, args)
            values.update(derived)
            given.extend(t for v in derived.values() if isinstance(v, torch.Tensor) for t in (v,))
        return values, given

    def _derived(self, values: dict[Node, Any], args: Sequence[Any]) -> dict[Node, Any]:
        sources = [args[i] for i in self._sources]
        now = tuple((t.data_ptr(), -1 if t.is_inference() else t._version) for t in sources)
        kept = self._kept
        if kept is None or kept[0] != now or any(v < 0 for _, v in now):
            made: dict[Node, Any] = dict(values)
            for step in self._before:
                made[step.node] = _call(step, made)
            kept = self._kept = now, {s.node: made[s.node] for s in self._before}
            self._owners = sources  # so that no other tensor comes to lie at their addresses
        return kept[1]

    def _compute(self, values: dict[Node, Any]) -> tuple[Any, ...]:
        """The results that are no views of inputs, step by step."""
        known = dict(values)
        for step in self._steps:
            known[step.node] = _call(step, known)
            for node in step.last_use:
                del known[node]
        return tuple(known[n] for n in self._results)

    def _compile_ahead(self, values: dict[Node, Any]) -> None:
        """Begin to compile what the steps launch, several kernels at a time, before the first of them waits for its own.

        The steps run without their launches, on memory that holds anything, so that what goes wrong here says nothing:
        it is said, if it is so, when they run.
        """
        known = dict(values)
        with probing(lambda kernel, grid, args, kwargs: kernel.begin(args, kwargs)):
            for step in self._steps:
                try:
                    known[step.node] = _blank(step.node) if _is_random(step.node) else _call(step, known)
                except Exception as error:
                    _log.debug("compiled ahead up to %s: %s", step.node, error)
                    return
                for node in step.last_use:
                    del known[node]

    def _finish(self, values: dict[Node, Any], computed: tuple[Any, ...]) -> Any:
        values.update(zip(self._results, computed, strict=True))
        for step in self._after:
            values[step.node] = _call(step, values)
        (output,) = (n for n in reversed(self.module.graph.nodes) if n.op == "output")
        return torch.fx.node.map_arg(output.args[0], values.__getitem__)

    def _learn(
        self, key: object, trial: tuple[int, Recording | None] | None, settings: config.Config,
        values: dict[Node, Any], tensors: list[torch.Tensor],
    ) -> Any:  # fmt: skip
        runs, before = trial or (0, None)
        if trial is None:
            self._compile_ahead(values)
        if runs >= _TRIALS:
            return self._compute(values)
        with recording(Recorder(tensors)) as recorder:
            computed = self._compute(values)
        made = recorder.finish(computed)
        with self._lock:
            if made is not None and made == before:
                self._table[key] = _Ready(settings, Replay(made, apart=True, kept=_KEPT_BYTES), tensors)
            else:
                self._table[key] = runs + 1, made
        return computed


class _Ready:
    """A replay, and which of the tensors are the memories it counts."""

    def __init__(self, settings: config.Config, replay: Replay, tensors: Sequence[torch.Tensor]) -> None:
        self.settings = settings  # keeps its id its own
        self.replay = replay
        addresses = [t.data_ptr() for t in tensors]
        self.count = len(set(addresses))
        self.first = [i for i, a in enumerate(addresses) if a not in addresses[:i]]
        self.same = [(i, addresses.index(a)) for i, a in enumerate(addresses) if addresses.index(a) != i]

    def run(self, tensors: list[torch.Tensor], addresses: list[int]) -> Any:
        if (
            self.replay.is_stale
            or len(set(addresses)) != self.count
            or any(addresses[i] != addresses[j] for i, j in self.same)
        ):
            return MISSED
        return self.replay.run([tensors[i] for i in self.first], [addresses[i] for i in self.first])


def _refusal(found: Sequence[Uncovered]) -> FallbackError:
    words = "; ".join(dict.fromkeys(f"{u.overload}: {u.reason}" for u in found))
    return FallbackError(
        f"torch.compile(): model: expected calls that operators cover, got {len(found)} that are not: {words}",
        hint="leave strict off, and they run in PyTorch and are counted in pk.stats().fallbacks",
    )


def _call(step: Step, known: dict[Node, Any]) -> Any:
    args = torch.fx.node.map_arg(step.node.args, known.__getitem__)
    kwargs = torch.fx.node.map_arg(step.node.kwargs, known.__getitem__)
    return step.run(*args, **kwargs)


def _is_random(node: Node) -> bool:
    return isinstance(node.target, OpOverload) and torch.Tag.nondeterministic_seeded in node.target.tags


def _blank(node: Node) -> Any:
    """Memory in the form of what ``node`` gives."""
    return torch.utils._pytree.tree_map_only(
        torch.Tensor, lambda t: torch.empty_strided(t.shape, t.stride(), dtype=t.dtype, device=t.device), meta(node)
    )


# --- from nodes to steps ------------------------------------------------------------------------------------


def _constants(module: GraphModule) -> list[Node]:
    """Attributes of the module, and new tensors of known numbers, which are made once unless they are results."""
    results = _outputs(module.graph)
    return [n for n in module.graph.nodes if n.op == "get_attr" or (_is_constant(n) and n not in results)]


def _is_constant(node: Node) -> bool:
    if node.op != "call_function" or not isinstance(node.target, OpOverload) or node.all_input_nodes:
        return False
    name = node.target._schema.name.partition("::")[2]
    return kind_of(node.target) == "allocation" and name not in ("empty", "empty_strided", "empty_permuted")


def _constant(module: GraphModule, node: Node) -> Any:
    if node.op == "get_attr":
        value: Any = module
        for part in str(node.target).split("."):
            value = getattr(value, part)
        return value
    target: Any = node.target
    return target(*node.args, **node.kwargs)


def _outputs(graph: torch.fx.Graph) -> list[Node]:
    (output,) = (n for n in reversed(graph.nodes) if n.op == "output")
    return list(dict.fromkeys(output.all_input_nodes))


def _is_view(node: Node) -> bool:
    if node.op != "call_function":
        return False
    if isinstance(node.target, OpOverload):
        return kind_of(node.target) == "view" and not node.target._schema.is_mutable
    return node.target not in FUSED and not isinstance(node.target, Fused)


def _roots(program: Program) -> set[Node]:
    """Inputs and constants, and all that is computed from them without looking at elements: views, sizes."""
    found: set[Node] = {*program.inputs, *program.constants}
    for node in program.module.graph.nodes:
        if _is_view(node) and all(n in found for n in node.all_input_nodes):
            found.add(node)
    return found


def _steps(program: Program) -> tuple[list[Step], list[Step], list[Node]]:
    """The steps for what is kept, the steps of a call, and the results of a call that are no views of inputs."""
    graph = program.module.graph
    known = {*program.inputs, *program.constants}
    roots = _roots(program)
    kept = {*program.once, *(u for n in program.once for u in n.users)}
    results = [n for n in _outputs(graph) if n not in roots]
    live = set(results)
    for node in reversed(graph.nodes):
        if node in live or (node.op == "call_function" and _writes(node)):
            live.add(node)
            live.update(node.all_input_nodes)
    before = [Step(n, _run_of(program, n), ()) for n in graph.nodes if n in kept]
    nodes = [n for n in graph.nodes if n.op == "call_function" and n in live and n not in kept and n not in known]
    last: dict[Node, Node] = {}
    for node in nodes:
        for used in node.all_input_nodes:
            last[used] = node
    freed: dict[Node, list[Node]] = {}
    for used, node in last.items():
        if used not in known and used not in kept and used not in results:
            freed.setdefault(node, []).append(used)
    return before, [Step(n, _run_of(program, n), tuple(freed.get(n, ()))) for n in nodes], results


def _writes(node: Node) -> bool:
    return isinstance(node.target, OpOverload) and node.target._schema.is_mutable


def _aliases(program: Program) -> list[Step]:
    """The views of inputs that are results, or lead to results."""
    roots = _roots(program) - {*program.inputs, *program.constants}
    live = {n for n in _outputs(program.module.graph) if n in roots}
    for node in reversed(program.module.graph.nodes):
        if node in live:
            live.update(n for n in node.all_input_nodes if n in roots)
    return [Step(n, _run_of(program, n), ()) for n in program.module.graph.nodes if n in live]


def _run_of(program: Program, node: Node) -> Callable[..., Any]:
    target: Any = node.target
    if not isinstance(target, OpOverload):
        return _laid_out(target, node) if target in FUSED else target
    if target is aten.copy_.default:
        return _copy
    if node in program.uncovered:
        return _foreign(target, program.uncovered[node].reason)
    rule = TABLE.get(target)
    if rule is not None and kind_of(target) == "compute":
        return _laid_out(rule.run, node)
    if kind_of(target) in ("allocation", "random"):
        return _allocated(target)
    return target


def _copy(to: torch.Tensor, source: torch.Tensor, non_blocking: bool = False) -> torch.Tensor:
    if to.numel():
        pointwise(Bound(tiles.identity, (source.expand(to.shape),), dtype=to.dtype), to)
    return to


def _foreign(target: OpOverload, reason: str) -> Callable[..., Any]:
    message = f"{target} runs in PyTorch: {reason}"

    def run(*args: Any, **kwargs: Any) -> Any:
        COUNTERS.fallback(message)
        pk.note_host_work(message)
        return target(*args, **kwargs)

    return run


def _allocated(target: OpOverload) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        pk.note_host_work(f"{target} makes numbers on the host")
        return target(*args, **kwargs)

    return run


def _laid_out(run: Callable[..., Any], node: Node) -> Callable[..., Any]:
    """``run``, its results copied into the strides that the graph was traced with where it gives others."""
    expected = meta(node)
    if isinstance(expected, torch.Tensor):
        expected = (expected,)
    wanted = [_strides(e) for e in expected] if isinstance(expected, (tuple, list)) else []

    def checked(*args: Any, **kwargs: Any) -> Any:
        result = run(*args, **kwargs)
        if isinstance(result, torch.Tensor):
            return _restrided(result, wanted[0]) if wanted else result
        return tuple(
            _restrided(t, w) if isinstance(t, torch.Tensor) else t for t, w in zip(result, wanted, strict=True)
        )

    return checked


def _strides(fake: Any) -> tuple[int, ...] | None:
    """The strides to hold a result to; None where any will do."""
    if not isinstance(fake, torch.Tensor) or not all(isinstance(n, int) for n in (*fake.shape, *fake.stride())):
        return None
    return tuple(fake.stride())


def _restrided(t: torch.Tensor, strides: tuple[int, ...] | None) -> torch.Tensor:
    if strides is None or t.stride() == strides or t.numel() == 0:
        return t
    if all(n == 1 or a == b for n, a, b in zip(t.shape, t.stride(), strides, strict=True)):
        return t
    span = 1 + sum((n - 1) * s for n, s in zip(t.shape, strides, strict=True))
    if span != t.numel():
        return t
    return pointwise(Bound(tiles.identity, (t,), dtype=t.dtype), new(t, tuple(t.shape), t.dtype, strides))


__all__ = ["Program", "Uncovered", "uncovered"]
