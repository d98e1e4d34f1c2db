"""Short launches on the calling thread, where a driver for CPUs offers that.

Handing a launch to a driver's workers and being woken when they are done takes 15 to 50 µs. PoCL's device ``basic`` runs it on
the thread that asks, after 3 to 5 µs, and so does a queue of Intel's runtime that is made for it (the extension
cl_intel_exec_by_local_thread, version 2), after 6. What two cores need 10 µs for is then done sooner by one. Which it is, is
found by timing both: the first launches of a kind go one way and then the other. The program is the same, and so are the
results.
"""

from __future__ import annotations

import functools
import threading
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from .. import config
from . import cache, platforms, pocl, stack
from .driver import Grid

if TYPE_CHECKING:
    from .opencl import Handle
    from .opencl_kernel import Loaded

SHORT = {"pocl": 1_000_000, "intel": 40_000}
"""Nanoseconds: a launch that takes the workers longer stays with them. PoCL's are woken for every launch; Intel's wait for the
next one awake, so that there is little to gain, and much to lose where the trial is wrong."""
TRIES = 16
"""Launches by which each way is judged, by the lower quartile: workers are now and then much sooner than they are as a rule."""
WARM_UP = 3
"""Launches of each way before that at least, which do not count: the first find neither code nor arrays in the caches."""
HOLDS = 128
"""Launches until both ways are tried again, then four times as many, and so on: what else the machine does decides now and
then, and workers that were asleep may share a core for 10 to 30 ms."""
_LOCAL = "cl_intel_exec_by_local_thread"
_LOCAL_QUEUE = (1 << 31) | (1 << 0)
"""CL_QUEUE_THREAD_LOCAL_EXEC_ENABLE_INTEL, and out of order: in order, threads would wait for each other's launches."""
POOLED, ALONE = 0, 1
Run = Callable[[Grid, Sequence[Any], Sequence[Any]], None]


class Trial:
    """Where launches of one kind run: with the workers at first, then alone, at last where they took less time, for a while."""

    def __init__(self, loaded: Loaded, pooled: Run, alone: Callable[[Loaded], Run], short: int) -> None:
        """``alone`` gives a launch like ``pooled`` of a program on the calling thread; ``short``: see :func:`short_on`."""
        self._loaded, self._pooled, self._make, self._short = loaded, pooled, alone, short
        self._stack = loaded.source.private_bytes
        self._noting = threading.Lock()
        self._alone: Run | None = None
        self._restart(None)

    def __call__(self, grid: Grid, values: Sequence[Any], owners: Sequence[Any]) -> None:
        if grid != self._grid:
            self._restart(grid)
        run, way = self._alone, self._way
        if run is None or way == POOLED or _turn.locked() or not stack.holds(self._stack):
            run, way = self._pooled, POOLED
        if self._left > 0:
            self._left -= 1
            if self._left == 0:
                self._try(POOLED)
            run(grid, values, owners)
            return
        start = perf_counter_ns()
        run(grid, values, owners)
        taken = perf_counter_ns() - start
        if self._noting.acquire(blocking=False):
            try:
                self._note(way, taken)
            finally:
                self._noting.release()

    def _restart(self, grid: Grid | None) -> None:
        self._grid = grid
        self._usual = [0, 0]
        self._holds = HOLDS
        self._left = 0  # launches that the last decision holds for
        self._try(POOLED)

    def _try(self, way: int) -> None:
        self._way = way
        self._times: list[int] = []

    def _note(self, way: int, taken: int) -> None:
        if way != self._way or self._left > 0:
            return
        self._times.append(taken)
        if len(self._times) == WARM_UP + TRIES:
            self._usual[way] = sorted(self._times[WARM_UP:])[TRIES // 4]
            self._judge()

    def _judge(self) -> None:
        pooled, alone = self._usual
        if self._way == POOLED and pooled < self._short and self._is_made():
            self._try(ALONE)
            return
        self._way = ALONE if self._way == ALONE and alone < pooled else POOLED
        self._left = self._holds
        self._holds *= 4

    def _is_made(self) -> bool:
        """Whether there is a launch on the calling thread; if it is refused it is not asked for again."""
        if self._alone is None:
            program = on_calling_thread(self._loaded)
            if program is None:
                self._short = 0
                return False
            self._alone = self._make(program)
        return True


_lock = threading.Lock()
_turn = threading.Lock()


def lock_for(handle: Handle) -> threading.Lock:
    """What a launch holds from its first argument until OpenCL has it: a lock of its own, and on the device without workers,
    where that is until it has run, one for all. PoCL deadlocks where two threads are there: one runs what the other has
    queued, and each waits for a lock of the other's. Who finds it held goes to the workers."""
    return _turn if pocl.is_alone(handle.device) else threading.Lock()


def short_on(handle: Handle) -> int:
    """Nanoseconds that a launch may take the device's workers for the calling thread to be tried; 0 where it cannot run any."""
    if handle.alone:
        return 0
    if _takes_callers(handle.device):
        return SHORT["intel"]
    return SHORT["pocl"] if _twin(handle.device.int_ptr) is not None else 0


def _takes_callers(device: Any) -> bool:
    """Whether the device has queues whose launches run on the thread that asks for them."""
    return _LOCAL in device.extensions.split()


@functools.cache
def _local_queue(context: Any) -> Any:
    return platforms.load().CommandQueue(context, properties=_LOCAL_QUEUE)


@functools.cache
def _twin(key: int) -> Any:
    """The device of PoCL that runs launches on the calling thread, for the one with workers whose address is ``key``."""
    devices = platforms.all_devices()
    device = next((d for d in devices if d.int_ptr == key), None)
    if device is None or not pocl.has_workers(device):
        return None
    same = (d for d in devices if d.platform.int_ptr == device.platform.int_ptr and pocl.is_alone(d))
    return next(same, None)


@functools.cache
def _opened(key: int) -> tuple[Any, Any, bytes]:
    """A context and a queue of the device whose twin has the address ``key``, and the mark of its binaries."""
    cl, device = platforms.load(), _twin(key)
    context = cl.Context([device])
    return context, cl.CommandQueue(context), _mark(cl, device, context)


def _mark(cl: Any, device: Any, context: Any) -> bytes:
    """What binaries for ``device`` are marked with, from the disk where it is known: PoCL takes 0.2 s to say."""
    store = cache.at(config.get().cache_dir)
    key = cache.key_of("mark", device.platform.version, device.driver_version, device.name)
    entry = store.get(key) if store is not None else None
    if entry is None:
        entry = cache.Entry(pocl.mark_of(cl, context), "", {"device": device.name})
        if store is not None:
            store.put(key, entry)
    return entry.data


def on_calling_thread(loaded: Loaded) -> Loaded | None:
    """The program of ``loaded`` where launches run on the calling thread; None where it is not taken there."""
    cl, handle = loaded.cl, loaded.handle
    with _lock:
        if loaded.alone is None:
            try:
                if _takes_callers(handle.device):
                    program, own = loaded.program, replace(handle, queue=_local_queue(handle.context), alone=True)
                else:
                    program, own = _on_twin(loaded)
            except (cl.Error, ValueError):
                return None
            loaded.alone = type(loaded)(cl, program, loaded.source, own, loaded.writes)
        return loaded.alone


def _on_twin(loaded: Loaded) -> tuple[Any, Handle]:
    """The program of ``loaded`` on PoCL's device without workers. Raises ValueError or pyopencl's error where it is refused."""
    cl, handle = loaded.cl, loaded.handle
    context, queue, mark = _opened(handle.device.int_ptr)
    binary = loaded.program.get_info(cl.program_info.BINARIES)[0]
    device = _twin(handle.device.int_ptr)
    with warnings.catch_warnings():  # pyopencl warns of every log that is not empty
        warnings.simplefilter("ignore")
        program = cl.Program(context, [device], [pocl.marked(binary, mark)]).build(cache_dir=False)
    return program, replace(handle, device=device, context=context, queue=queue, alone=True)
