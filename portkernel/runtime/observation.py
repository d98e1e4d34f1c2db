"""Looking on while operators launch kernels: what ran is noted, or a launch is described and not made."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ..targets import Target
    from .kernel import Kernel
    from .plan import GridLike, Plan
    from .recorder import Recorder

Run = tuple["Plan", int, int]
"""A plan that ran, and when it began and ended, in nanoseconds of ``time.perf_counter_ns``."""
Probe = Callable[["Kernel", "GridLike", tuple[Any, ...], dict[str, Any]], None]
"""``probe(kernel, grid, args, kwargs)``."""


class _Observed(threading.local):
    """What looks on in this thread. Read on every launch, so plain attributes."""

    operator: str = ""
    """The operator of ``portkernel.ops`` that is under way."""
    runs: list[Run] | None = None
    """Where given, every launch is appended when it is done."""
    tracer: Any = None
    """Where given, its ``call(op, args, kwargs)`` makes every call of an operator."""
    probe: Probe | None = None
    """Where given, it is called with kernel, grid and arguments in place of a launch: nothing is compiled or written."""
    target: Target | None = None
    """With ``probe``: the target that the launches are described for, where that is not a device here."""
    recorder: Recorder | None = None
    """Where given, it is told of every launch and allocation."""

    @property
    def is_watched(self) -> bool:
        """Whether anything looks on."""
        return self.runs is not None or self.probe is not None or self.recorder is not None


OBSERVED = _Observed()


@contextmanager
def probing(probe: Probe, target: Target | None = None) -> Iterator[None]:
    """Inside the ``with`` block, in this thread, launches go to ``probe`` and are not made.

    Host code that asks for the target of a launch gets ``target``, if given, whatever devices are here.
    """
    before = OBSERVED.probe, OBSERVED.target
    OBSERVED.probe, OBSERVED.target = probe, target
    try:
        yield
    finally:
        OBSERVED.probe, OBSERVED.target = before
