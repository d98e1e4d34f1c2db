"""``pk.trace()``: every call of an operator with its route, its time and its bytes, as a table or as a timeline."""

from __future__ import annotations

import json
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..runtime.observation import OBSERVED, Run
from .arguments import nbytes

if TYPE_CHECKING:
    from .operator import Operator


@dataclass(frozen=True, slots=True)
class Launch:
    """A kernel's launch within a call. Times are nanoseconds of ``time.perf_counter_ns``."""

    kernel: str
    backend: str
    device: str
    config: dict[str, object]
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Call:
    """A call of an operator. ``bytes`` are those of its arguments and results; ``launches`` is empty for a view."""

    operator: str
    start: int
    end: int
    bytes: int
    launches: tuple[Launch, ...]

    @property
    def microseconds(self) -> float:
        return (self.end - self.start) / 1e3

    @property
    def route(self) -> str:
        """The backend, or backends, and the kernels: ``opencl: softmax_row``."""
        backends = "+".join(dict.fromkeys(one.backend for one in self.launches))
        kernels = Counter(one.kernel for one in self.launches)
        shown = ", ".join(name if n == 1 else f"{n}× {name}" for name, n in kernels.items())
        return f"{backends}: {shown}" if backends else "view"


class Trace:
    """The calls of one ``with pk.trace() as t:`` block, in order: ``t.calls``, ``t.table()``, ``t.export(path)``."""

    def __init__(self) -> None:
        self.calls: list[Call] = []

    def call(self, op: Operator, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """The result of the call, noted with its launches."""
        runs: list[Run] = []
        before, OBSERVED.runs = OBSERVED.runs, runs
        start = time.perf_counter_ns()
        try:
            found = op.complete(args, kwargs)
        finally:
            end = time.perf_counter_ns()
            OBSERVED.runs = before
        launches = tuple(
            Launch(plan.kernel, plan.backend, plan.device, dict(plan.meta), begin, done) for plan, begin, done in runs
        )
        size = nbytes((*args, *kwargs.values(), found))
        self.calls.append(Call(op.name, start, end, size, launches))
        return found

    def rows(self) -> list[tuple[str, str, int, float, int]]:
        """Operator, route, calls, µs and bytes, summed over like calls, the longest first."""
        found: dict[tuple[str, str], tuple[int, float, int]] = {}
        for call in self.calls:
            count, spent, size = found.get((call.operator, call.route), (0, 0.0, 0))
            found[call.operator, call.route] = count + 1, spent + call.microseconds, size + call.bytes
        return sorted(((*key, *sums) for key, sums in found.items()), key=lambda row: -row[3])

    def table(self) -> str:
        """The rows as plain text, with a line of totals."""
        total = sum(row[3] for row in self.rows())
        head = ("operator", "route", "calls", "µs", "%", "bytes")
        body = [
            (name, route, str(n), f"{us:.1f}", f"{100 * us / total if total else 0:.1f}", str(size))
            for name, route, n, us, size in self.rows()
        ]
        body.append(("total", "", str(len(self.calls)), f"{total:.1f}", "", ""))
        widths = [max(len(row[i]) for row in (head, *body)) for i in range(len(head))]
        lines = [
            "  ".join(cell.ljust(w) if i < 2 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True)))
            for row in (head, *body)
        ]  # fmt: skip
        return "\n".join(line.rstrip() for line in lines)

    def print(self) -> None:
        """The table on standard output, by rich where it is installed."""
        if find_spec("rich") is None:
            print(self.table())
            return
        from rich.console import Console
        from rich.table import Table

        shown = Table(title="pk.trace()")
        for name in ("operator", "route"):
            shown.add_column(name)
        for name in ("calls", "µs", "bytes"):
            shown.add_column(name, justify="right")
        for operator, route, n, us, size in self.rows():
            shown.add_row(operator, route, str(n), f"{us:.1f}", str(size))
        Console().print(shown)

    def export(self, path: str | Path) -> None:
        """Write a timeline in the Trace Event Format, which Perfetto (ui.perfetto.dev) and chrome://tracing open.

        Format: https://docs.google.com/document/d/1CvAClvFfyA5R-PhYUmn5OOQtYMH4h6I0nSsKchNAySU
        """
        place = {"pid": os.getpid(), "tid": threading.get_ident()}
        events: list[dict[str, Any]] = []
        for call in self.calls:
            facts = {"route": call.route, "bytes": call.bytes}
            events.append(_event(call.operator, "operator", call.start, call.end, facts) | place)
            for one in call.launches:
                sizes = {n: v for n, v in one.config.items() if isinstance(v, (int, str))}
                facts = {"backend": one.backend, "device": one.device, **sizes}
                events.append(_event(one.kernel, "kernel", one.start, one.end, facts) | place)
        text = json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}, indent=1)
        Path(path).write_text(text + "\n", encoding="utf-8")


def _event(name: str, category: str, start: int, end: int, facts: dict[str, Any]) -> dict[str, Any]:
    """A complete event; its times are microseconds."""
    return {"name": name, "cat": category, "ph": "X", "ts": start / 1e3, "dur": (end - start) / 1e3, "args": facts}


@contextmanager
def trace(*, show: bool = True) -> Iterator[Trace]:
    """Note every call of an operator in this thread; at the end of the ``with`` block print a table, if ``show``.

    A traced call takes the complete path, some tens of microseconds longer than a call like earlier ones takes. On a device
    that runs on its own, a launch's time is that of handing it over.

    >>> import numpy as np
    >>> import portkernel as pk
    >>> with pk.trace(show=False) as found:
    ...     _ = pk.ops.exp(np.zeros(3, np.float32), backend="numpy")
    >>> found.calls[0].operator, found.calls[0].launches[0].backend
    ('exp', 'numpy')
    """
    made = Trace()
    before, OBSERVED.tracer = OBSERVED.tracer, made
    try:
        yield made
    finally:
        OBSERVED.tracer = before
    if show:
        made.print()
