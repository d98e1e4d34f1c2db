"""``pk.capture``: the launches of a whole function, made again on the same memory with nothing in between."""

from __future__ import annotations

import ctypes
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

import numpy as np

from ..errors import ArgumentDTypeError, ArgumentShapeError, CaptureError
from .address import reader_of
from .arguments import HOST, as_array
from .recorder import Recorder, Step, recording

_POISON = 0xFF  # NaN as a float of any size, -1 as an integer


class Captured:
    """What :func:`capture` gives. One thread at a time may use it: every call writes to the same memory.

    ``captured.replay()`` launches everything again and returns the arrays of the capture, filled anew.
    ``captured(*args)`` first copies those of ``args`` that are other arrays into the captured ones.
    """

    def __init__(self, args: tuple[Any, ...], recorder: Recorder, result: Any) -> None:
        self.result = result
        """What the function returned: the same arrays for every replay."""
        self.launches = tuple(step.plan.kernel for step in recorder.steps)
        """The kernels, in order."""
        self._args = args
        self._recorder = recorder  # keeps the memory
        self._run, self._waits = _starts(recorder)
        counted = Counter(id(step.plan.counter) for step in recorder.steps)
        cells = {id(step.plan.counter): step.plan.counter for step in recorder.steps}
        self._counts = [(cells[i], n) for i, n in counted.items()]

    def __repr__(self) -> str:
        return f"<captured: {len(self.launches)} launches>"

    def replay(self) -> Any:
        """Launch everything once more. Raises what the launches raise."""
        try:
            for run in self._run:
                run()
        except BaseException:
            for wait in self._waits:  # what was started must not outlive its memory
                wait()
            raise
        for cell, n in self._counts:
            cell[0] += n
        return self.result

    def __call__(self, *args: Any) -> Any:
        """:meth:`replay`, for arguments like those of the capture.

        Raises :class:`~portkernel.errors.CaptureError` for another number of arguments, for a plain value that differs, and for
        another array in the place of one that is written to; ArgumentShapeError and ArgumentDTypeError for unlike arrays.
        """
        known = self._args
        if len(args) != len(known):
            raise CaptureError(f"captured(): expected {len(known)} arguments, got {len(args)}")
        for place, (given, mine) in enumerate(zip(args, known, strict=True)):
            if given is not mine:
                self._update(place, given, mine)
        return self.replay()

    def _update(self, place: int, given: Any, mine: Any) -> None:
        where = f"captured(): argument {place}"
        reader = reader_of(type(mine))
        if reader is None:
            if type(given) is not type(mine) or given != mine:
                raise CaptureError(
                    f"{where}: expected {mine!r}, as captured, got {given!r}", hint="capture again for another value"
                )
            return
        ref = as_array(given, where)
        if ref is None:
            raise CaptureError(f"{where}: expected an array, got {type(given).__name__}")
        if tuple(given.shape) != tuple(mine.shape):
            raise ArgumentShapeError(f"{where}: expected shape {tuple(mine.shape)}, got {tuple(given.shape)}")
        if given.dtype != mine.dtype:
            raise ArgumentDTypeError(f"{where}: expected {mine.dtype}, got {given.dtype}")
        if self._recorder.memory_at(reader(mine)[0]) in self._recorder.written:
            raise CaptureError(
                f"{where}: expected the array of the capture, which is written to, got another",
                hint="copy the result from there, or capture for this array",
            )
        _copy(mine, given)


def capture(fn: Callable[..., Any], /, *args: Any, check: bool = True) -> Captured:
    """Run ``fn(*args)`` and keep its launches, of operators and kernels, to make them again without any of its Python.

    Like a CUDA graph, it stays with the memory it was captured on: arguments, arrays that ``fn`` closes over, and what it
    allocated. To give it other input, write to those arrays, or call ``captured(*args)``, which copies. Settings, globals and
    shapes are those of the capture. Launches into one queue are started without waiting for each other.

    ``fn`` runs twice, its launches a third time on poisoned memory; arguments that it writes to are restored in between, so that
    in the end it has run once. ``check=False`` leaves that third time out: for a function that reads and writes an array it
    closes over, or changes arrays it is not given.

    Raises :class:`~portkernel.errors.CaptureError` for a function that does more than launch kernels.

    >>> import numpy as np
    >>> import portkernel as pk
    >>> from portkernel.kernels.softmax import softmax
    >>> x = np.zeros((2, 4), np.float32)
    >>> captured = pk.capture(lambda x: softmax(x, backend="numpy"), x)
    >>> x[0] = 0, 0, 0, -1000
    >>> captured.replay()[:, 3]
    array([0.  , 0.25], dtype=float32)
    """
    if not callable(fn):
        raise CaptureError(f"capture(): fn: expected a function, got {type(fn).__name__}")
    arrays = list(_arrays(args))
    before = [_clone(a) for a in arrays]
    first, _ = _record(fn, args, arrays)
    _restore(arrays, before)
    second, result = _record(fn, args, arrays)
    if first.steps != second.steps:
        raise CaptureError(
            "capture(): fn: expected the same launches from every run, got others from the second",
            hint="it decides by data or state, or launches on arrays that it makes without an operator",
        )
    for found in _leaves(result):
        _own(found, second)
    captured = Captured(args, second, result)
    if check:
        _check(captured, second, arrays, before)
    return captured


def _record(fn: Callable[..., Any], args: tuple[Any, ...], arrays: Sequence[Any]) -> tuple[Recorder, Any]:
    with recording(Recorder(arrays, foreign=True)) as recorder:
        result = fn(*args)
    if recorder.spoilt is not None:
        raise CaptureError(
            f"capture(): fn: expected a function that only launches kernels, got one with {recorder.spoilt}"
        )
    if not recorder.steps:
        raise CaptureError("capture(): fn: expected a function that launches kernels, got one without a launch")
    return recorder, result


def _check(captured: Captured, recorder: Recorder, arrays: Sequence[Any], before: Sequence[Any]) -> None:
    """Replay on poisoned memory and compare with the run. Memory of devices is left alone."""
    shown = [*_leaves(captured.result), *arrays]
    expected = [_bytes(a) for a in shown]
    _restore(arrays, before)
    for memory, allocation in zip(recorder.memories[recorder.count :], recorder.allocations, strict=True):
        if allocation.on_host:
            ctypes.memset(memory.address, _POISON, allocation.size)
    captured.replay()
    if any(_bytes(a) != e for a, e in zip(shown, expected, strict=True)):
        raise CaptureError(
            "capture(): fn: expected its launches alone to give what it gives, got something else",
            hint="it computes or copies between the launches: use operators for that, or capture the parts",
        )


def _starts(recorder: Recorder) -> tuple[list[Callable[[], None]], list[Callable[[], None]]]:
    """Everything to call for a replay, in order, and what waits for launches under way."""
    run: list[Callable[[], None]] = []
    waits: dict[int, Callable[[], None]] = {}
    """By queue."""
    last: Any = None
    """The launch whose queue has not been waited for."""
    for step, (values, owners) in zip(recorder.steps, recorder.calls, strict=True):
        launch: Any = step.plan.launch
        queued = getattr(launch, "deferrable", False)
        if last is not None and not (queued and launch.handle is last.handle):
            run.append(last.wait)
            last = None
        if not _runs(step):
            continue
        run.append(launch.fixed(step.sizes, values, owners) if queued else partial(launch, step.sizes, values, owners))
        if queued:
            last = launch
            waits.setdefault(id(launch.handle), launch.wait)
    if last is not None:
        run.append(last.wait)
    return run, [*waits.values()]


def _runs(step: Step) -> bool:
    return 0 not in step.sizes


# --- arguments and results ----------------------------------------------------------------------------------


def _arrays(values: Any) -> Iterator[Any]:
    for value in values:
        if type(value) in (tuple, list):
            yield from _arrays(value)
        elif reader_of(type(value)) is not None:
            yield value
        elif as_array(value, "capture(): argument") is not None:
            raise CaptureError(
                f"capture(): fn: expected arrays of NumPy or PyTorch, got {type(value).__name__}",
                hint="pass tensors or NumPy arrays",
            )


def _leaves(result: Any) -> Iterator[Any]:
    if result is None:
        return
    if isinstance(result, (tuple, list)):
        for member in result:
            yield from _leaves(member)
    elif isinstance(result, dict):
        yield from _leaves(list(result.values()))
    else:
        yield result


def _own(found: Any, recorder: Recorder) -> None:
    """A result must lie in an argument or an allocation: only there a replay puts something new."""
    ref = as_array(found, "capture(): result") if hasattr(found, "shape") else None
    place = None if ref is None else recorder.find(ref.ptr, *ref.extent)
    if ref is None or place is None or (place[0] < 0 and ref.extent != (0, 0)):
        raise CaptureError(
            f"capture(): fn: expected it to return arrays that operators made, got {type(found).__name__} of its own making",
            hint="return the operators' results as they are, and work on them after the replay",
        )


def _clone(array: Any) -> Any:
    return array.copy() if isinstance(array, np.ndarray) else array.detach().clone()


def _copy(to: Any, source: Any) -> None:
    if isinstance(to, np.ndarray):
        np.copyto(to, source)
    else:
        to.detach().copy_(source)


def _restore(arrays: Sequence[Any], before: Sequence[Any]) -> None:
    for array, old in zip(arrays, before, strict=True):
        if _bytes(array) != _bytes(old):
            _copy(array, old)


def _bytes(array: Any) -> bytes:
    ref = as_array(array if isinstance(array, np.ndarray) else array.detach().cpu(), "capture()")
    assert ref is not None and ref.device == HOST
    return ref.numpy().tobytes()
