"""A recording made again: outputs are new, scratch memory is the thread's own, addresses are put in place, kernels launched."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import as_strided

from ..dtypes import Scalar
from .address import address_of
from .checks import Grid
from .recorder import Allocation, Place, Recording, Result, Results
from .scratch import ALIGNMENT, Lifetime, pack
from .statistics import COUNTERS

_KEPT_BYTES = 64 << 20
"""Scratch memory up to this size stays with its thread."""

MISSED: Any = object()
"""What :meth:`Replay.run` returns where the arguments are not such that the recording holds."""
_Make = Callable[[], tuple[Any, int]]
_Start = Callable[[Grid, Sequence[Scalar], Sequence[Any]], None]
_Ready = tuple[_Start, Grid, tuple[Scalar, ...], tuple[Place, ...], tuple[None, ...], Callable[[], None] | None]


class _Scratch(threading.local):
    """Memory that no caller sees. It is taken while in use: a finalizer may run a replay within a replay."""

    buffer: np.ndarray[Any, Any] | None = None


_SCRATCH = _Scratch()


class Replay:
    """Runs a :class:`~portkernel.runtime.recorder.Recording` for other arrays of the same signature, from any thread."""

    __slots__ = ("_checks", "_counters", "_gather", "_globals", "_kept", "_makes", "_scratch", "_steps", "_waits")

    def __init__(self, recording: Recording, *, apart: bool = False, kept: int = _KEPT_BYTES) -> None:
        """``apart`` promises that arguments share no memory; scratch memory up to ``kept`` bytes stays with its thread."""
        count = len(recording.arguments)
        seen = _memories(recording.results)
        unseen = [i for i, a in enumerate(recording.allocations, count) if a.on_host and i not in seen]
        lifetimes = _lifetimes(recording)
        sizes = {i: recording.allocations[i - count].size for i in unseen}
        places, self._scratch = pack([Lifetime(*lifetimes.get(i, (0, 0)), sizes[i]) for i in unseen])
        offsets = dict(zip(unseen, places, strict=True))
        self._makes: list[int | _Make] = [
            offsets[i] if i in offsets else _maker(a) for i, a in enumerate(recording.allocations, count)
        ]
        """For each allocation how to make it, or its place in the scratch memory."""
        self._steps = _ready(recording)
        launches: list[Any] = [s.plan.launch for s in recording.steps]
        self._waits = [launch.wait for launch in launches if getattr(launch, "deferrable", False)]
        self._counters = [s.plan.counter for s in recording.steps]
        made = [(s.operator, s.plan.kernel, s.plan.backend) for s in recording.steps if s.operator]
        self._counters += [COUNTERS.operator_cell(*names) for names in made]
        read = [g for s in recording.steps for g in s.plan.globals_read]
        self._globals = list({(id(space), name): (space, name, known) for space, name, known in read}.values())
        self._checks = [] if apart else _pairs(recording)
        self._kept = kept
        self._gather = _gatherer(recording.results)

    @property
    def is_stale(self) -> bool:
        """True once a global that a kernel holds as a constant was assigned."""
        for space, name, known in self._globals:  # noqa: SIM110  # a generator takes three times as long
            if space.get(name) is not known:
                return True
        return False

    def run(self, arrays: Sequence[Any], addresses: list[int]) -> Any:
        """What the function returns for ``arrays`` at ``addresses``, which is extended; ``MISSED`` where it must run itself.

        Raises what the launches raise.
        """
        for i, i_low, i_high, j, j_low, j_high in self._checks:
            a, b = addresses[i], addresses[j]
            if a + i_low < b + j_high and b + j_low < a + i_high:
                return MISSED
        scratch, base = self._take() if self._scratch else (None, 0)
        made: list[Any] = [*arrays]
        for make in self._makes:
            if type(make) is int:
                made.append(None)
                addresses.append(base + make)
            else:
                array, address = make()  # type: ignore[operator]  # the other kind
                if address & 15:
                    return MISSED
                made.append(array)
                addresses.append(address)
        try:
            for start, sizes, scalars, places, owners, wait in self._steps:
                values = list(scalars)
                for position, memory, offset in places:
                    values[position] = addresses[memory] + offset
                start(sizes, values, owners)
                if wait is not None:
                    wait()
        except BaseException:
            for wait in self._waits:  # what was started must not outlive its memory
                wait()
            raise
        for counter in self._counters:
            counter[0] += 1
        if scratch is not None and scratch.size <= self._kept:
            _SCRATCH.buffer = scratch
        return self._gather(made)

    def _take(self) -> tuple[np.ndarray[Any, Any], int]:
        found, _SCRATCH.buffer = _SCRATCH.buffer, None
        if found is None or found.size < self._scratch + ALIGNMENT:
            found = np.empty(self._scratch + ALIGNMENT, np.uint8)
        return found, address_of(found) + ALIGNMENT - 1 & -ALIGNMENT


def _lifetimes(recording: Recording) -> dict[int, tuple[int, int]]:
    """The first and the last launch that each memory is used by."""
    found: dict[int, tuple[int, int]] = {}
    for number, step in enumerate(recording.steps):
        for _, memory, _ in step.places:
            found[memory] = found.get(memory, (number, number))[0], number
    return found


def _ready(recording: Recording) -> list[_Ready]:
    """The launches, each with the wait after it: none where the next one goes into the same queue."""
    steps = [s for s in recording.steps if 0 not in s.sizes]
    found: list[_Ready] = []
    started = False
    for here, after in zip(steps, [*steps, None][1:], strict=True):
        launch: Any = here.plan.launch
        start: _Start = launch
        wait = None
        if getattr(launch, "deferrable", False):
            following: Any = None if after is None else after.plan.launch
            last = not getattr(following, "deferrable", False) or following.handle is not launch.handle
            if started or not last:  # else one launch by itself, which may run anywhere
                start, wait = launch.enqueue, launch.wait if last else None
            started = not last
        found.append((start, here.sizes, here.values, here.places, (None,) * len(here.values), wait))
    return found


def _pairs(recording: Recording) -> list[tuple[int, int, int, int, int, int]]:
    """Each argument that is stored to with each other one, and their bounds."""
    bounds = recording.arguments
    written = recording.written
    return [
        (i, *bounds[i], j, *bounds[j])
        for i in written
        for j in range(len(bounds))
        if j != i and not (j in written and j < i)
    ]


def _memories(results: Results) -> set[int]:
    match results:
        case None:
            return set()
        case Result():
            return {results.memory}
        case (_, *members):
            return set().union(*map(_memories, members))
    raise AssertionError(results)


def _maker(allocation: Allocation) -> _Make:
    shape, dtype, device = allocation.shape, allocation.dtype, allocation.device
    if device is None:
        empty = np.empty

        def make() -> tuple[Any, int]:
            array = empty(shape, dtype)
            return array, address_of(array)

        return make
    new = sys.modules["torch"].empty

    def make_tensor() -> tuple[Any, int]:
        tensor = new(shape, dtype=dtype, device=device)
        return tensor, tensor.data_ptr()

    return make_tensor


def _gatherer(results: Results) -> Callable[[list[Any]], Any]:
    """How to make what the function returned of the arguments and allocations."""
    match results:
        case None:
            return lambda made: None
        case Result(memory, is_view=False):
            return lambda made: made[memory]
        case Result():
            return _viewer(results)
        case (kind, *members):
            parts = [_gatherer(m) for m in members]
            return lambda made: kind(part(made) for part in parts)
    raise AssertionError(results)


def _viewer(r: Result) -> Callable[[list[Any]], Any]:
    memory, shape, strides, offset, dtype = r.memory, r.shape, r.strides, r.offset, r.dtype
    if not isinstance(dtype, np.dtype):

        def view(made: list[Any]) -> Any:
            tensor = made[memory]
            return tensor.as_strided(shape, strides, tensor.storage_offset() + offset)

        return view
    size = dtype.itemsize
    steps = tuple(s * size for s in strides)
    if not r.is_plain:  # it lends no buffer
        return lambda made: as_strided(made[memory], shape, steps)
    offset *= size
    if dtype.isbuiltin == 1:
        return lambda made: np.ndarray(shape, dtype, made[memory], offset, steps)
    # bfloat16 and fp8 lend no buffer of their own kind
    return lambda made: np.ndarray(shape, dtype, made[memory].reshape(-1).view(np.uint8), offset, steps)
