"""What a row is tried on: calls with the answers that they must give. One protocol for operators and bare kernels."""

from __future__ import annotations

import inspect
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np

from .. import catalog
from ..catalog import Case, Entry, Problem
from ..dtypes import as_dtype
from .model import KERNELS
from .peers import PEERS, Array

Item = TypeVar("Item")
Route = Mapping[str, str]
"""``backend=`` and ``device=`` of a call."""


@dataclass(frozen=True, slots=True)
class Trial:
    """One call. ``run(route)`` gives the outputs by name, fresh or poisoned beforehand.

    ``reference`` is in float64 or exact integers, ``bound`` the absolute error allowed for each element. ``peer`` does
    the same with the library that ``peer_name`` names.
    """

    label: str
    run: Callable[[Route], Mapping[str, Array]]
    reference: Callable[[], Mapping[str, Array]]
    bound: Callable[[], Mapping[str, Array]]
    elements: int
    peer_name: str = ""
    peer: Callable[[], object] | None = None
    inputs: tuple[Array, ...] = ()


def seeded(*names: str) -> np.random.Generator:
    """The same data in every process and for every backend."""
    return np.random.default_rng(zlib.crc32(" ".join(names).encode()))


# --- bare kernels -------------------------------------------------------------------------------------------


def make_problem(entry: Entry, case: Case, dtype: str) -> Problem:
    """The problem of a case, the same in every process."""
    return case.make(as_dtype(dtype), seeded(entry.name, case.label, dtype))


def arguments(entry: Entry, problem: Problem) -> list[Any]:
    """The run-time arguments by position, which is also the fastest way to pass them."""
    function = getattr(entry.kernel, "__wrapped__", None)
    order = list(problem.args) if function is None else list(inspect.signature(function).parameters)
    return [problem.args[name] for name in order if name in problem.args]


def kernel_trials(entry: Entry, dtype: str) -> list[Trial]:
    """The cases of a catalogue entry; the first is the one to measure."""
    peer = PEERS.get(entry.name)
    return [_kernel_trial(entry, make_problem(entry, case, dtype), case.label, peer) for case in entry.cases]


def _kernel_trial(entry: Entry, problem: Problem, label: str, peer: Callable[..., object] | None) -> Trial:
    kernel: Any = entry.kernel
    outputs = {name: np.asarray(problem.args[name]) for name in problem.outputs}
    poisoned = {name: output.copy() for name, output in outputs.items()}

    def run(route: Route) -> Mapping[str, Array]:
        for name, output in outputs.items():  # what another backend left there must not pass for a result
            output[...] = poisoned[name]
        kernel[problem.grid](*arguments(entry, problem), **problem.constants, **route)
        return outputs

    return Trial(
        label,
        run,
        problem.reference,
        problem.bound,
        sum(int(np.size(a)) for a in problem.args.values()),
        "numpy" if peer is not None else "",
        None if peer is None else lambda: peer(problem.args),
    )


def spread(trials: Sequence[Item], most: int) -> list[Item]:
    """At most ``most`` of the trials, the first and the last among them; all for 0."""
    if not 0 < most < len(trials):
        return list(trials)
    last = len(trials) - 1
    return [trials[i] for i in sorted({round(i * last / max(most - 1, 1)) for i in range(most)})]


def trials(kind: str, row: str, dtype: str) -> list[Trial]:
    """The trials of a row by its id. Raises ``KeyError`` for a row that is not there."""
    if kind == "kernel":
        return kernel_trials(catalog.find(row.removeprefix(KERNELS)), dtype)
    from .operators import operator_trials

    return operator_trials(row, dtype)
