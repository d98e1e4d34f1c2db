"""What a call launched: counted by ``pk.stats()`` where it ran, described where nothing may run."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, TypeVar

from .. import backends, targets
from ..dtypes import BY_NAME
from ..ir import ArgReduce, Binary, Dot, Func, Op, Reduce, Scan, Unary, walk
from ..runtime import Kernel, inspection, statistics
from ..runtime.observation import OBSERVED, Run, probing
from ..runtime.plan import Plan
from ..targets import Target

Result = TypeVar("Result")
_ARITHMETIC = (Unary, Binary, Reduce, ArgReduce, Scan, Dot)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Launches of our kernels by (kernel, backend), and the fallbacks that were said, during one call."""

    launches: Mapping[tuple[str, str], int] = field(default_factory=dict)
    fallbacks: tuple[str, ...] = ()
    route: str = ""
    """Each kernel that was launched with its block sizes, and the device: ``matmul BM=96 BN=384 on pthread-AMD EPYC``."""

    def on(self, backend: str) -> dict[str, int]:
        """Launches on ``backend``, by kernel."""
        return {kernel: n for (kernel, where), n in self.launches.items() if where == backend}

    def elsewhere(self, backend: str) -> tuple[str, ...]:
        """The other backends that were launched on."""
        return tuple(sorted({where for _, where in self.launches if where != backend}))


def observe(call: Callable[[], Result]) -> tuple[Result, Evidence]:
    """The result of ``call`` and what ``pk.stats()`` says of it."""
    before = statistics.snapshot()
    with _watching() as runs:
        result = call()
    after = statistics.snapshot()
    launches = {key: n - before.launches.get(key, 0) for key, n in after.launches.items()}
    said = tuple(reason for reason, n in after.fallbacks.items() if n > before.fallbacks.get(reason, 0))
    return result, Evidence({key: n for key, n in launches.items() if n}, said, _route([plan for plan, _, _ in runs]))


@contextmanager
def _watching() -> Iterator[list[Run]]:
    """The launches of this thread inside the ``with`` block."""
    runs: list[Run] = []
    before, OBSERVED.runs = OBSERVED.runs, runs
    try:
        yield runs
    finally:
        OBSERVED.runs = before


def _route(plans: Sequence[Plan]) -> str:
    """Kernels in the order of their first launch; their integer constants are what was chosen for the device."""
    named = dict.fromkeys(" ".join([plan.kernel, *_sizes(plan)]) for plan in plans)
    places = dict.fromkeys(plan.device for plan in plans)
    return f"{', '.join(named)} on {', '.join(places)}" if named else ""


def _sizes(plan: Plan) -> list[str]:
    return [f"{name}={value}" for name, value in plan.meta.items() if type(value) is int]


@dataclass(frozen=True, slots=True)
class Launch:
    """A launch that was described and not made."""

    kernel: Kernel
    args: tuple[Any, ...]
    constants: Mapping[str, Any]
    """The keyword arguments, without ``backend`` and ``device``."""
    grid: object = None
    """What stood in the brackets."""


def describe(call: Callable[[], object], target: str = "") -> list[Launch]:
    """The launches that ``call`` would make, in order: on its own route, or on one to ``target``, of which no device need be
    here. Nothing runs: what it allocates stays undefined."""
    found: list[Launch] = []

    def note(kernel: Kernel, grid: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        found.append(Launch(kernel, args, {k: v for k, v in kwargs.items() if k not in ("backend", "device")}, grid))

    with probing(note, targets.find(target) if target else None):
        call()
    return found


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What the kernels of a call compute with: pairs of operation and dtype."""

    pairs: frozenset[tuple[type[Op], str]]

    @property
    def uses(self) -> tuple[str, ...]:
        """What precision probes speak of."""
        kinds = {kind for kind, _ in self.pairs}
        found = ["dot"] if Dot in kinds else []
        return tuple([*found, "accumulate"] if kinds & {Dot, Reduce, Scan} else found)

    def emulation(self, backend: str, target: Target) -> str:
        """How ``backend`` computes in a wider type for ``target``; empty if all of it is arithmetic of the device's own."""
        known = backends.find(backend)
        for kind, name in sorted(self.pairs, key=lambda pair: (pair[1], pair[0].__name__)):
            found = known.supports(kind, BY_NAME[name], target)
            if found.state == "emulated" and name not in target.native:
                return found.reason
        return ""


def arithmetic(launches: list[Launch]) -> Arithmetic:
    """What the kernels of ``launches`` compute with."""
    pairs: set[tuple[type[Op], str]] = set()
    for launch in launches:
        pairs |= _pairs(inspection.func(launch.kernel, launch.args, launch.constants))
    return Arithmetic(frozenset(pairs))


def _pairs(func: Func) -> set[tuple[type[Op], str]]:
    return {
        (type(op), value.type.dtype.name)
        for op in walk(func.body)
        if isinstance(op, _ARITHMETIC)
        for value in (*op.operands, *op.results)
    }
