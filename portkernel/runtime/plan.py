"""Everything about a launch that its next one with like arguments need not work out again."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter_ns
from typing import TYPE_CHECKING, Any

from ..dtypes import Scalar
from .arguments import ArrayRef, as_array
from .checks import Grid, check_pair, grid_of
from .observation import OBSERVED

if TYPE_CHECKING:
    from ..frontend.names import GlobalRead
    from .driver import Launch

Span = tuple[int, int, int]
"""The place of an array among the values, and the bounds of its bytes relative to its address."""


@dataclass(slots=True, eq=False)
class Plan:
    """A compiled kernel bound to the shapes and strides of its arguments; only addresses and scalars may differ."""

    kernel: str
    names: tuple[str, ...]
    """The run-time parameters, in launch order."""
    launch: Launch
    meta: dict[str, object]
    limits: Grid
    pairs: tuple[tuple[Span, Span], ...]
    """Each output with each other array of the launch."""
    by_address: bool
    """False where values are offsets into buffers, whose bounds say nothing by themselves."""
    counter: list[int]
    backend: str
    device: str
    extents: tuple[tuple[int, int] | None, ...]
    """For each value that is an address, the bounds of the array's bytes relative to it."""
    writes: frozenset[int]
    """The places of the outputs among the values."""
    globals_read: tuple[GlobalRead, ...]
    """What the kernel holds as constants."""

    def run(self, grid: Any, values: Sequence[Scalar], owners: Sequence[Any]) -> None:
        """Check what can differ between launches, then launch."""
        if callable(grid):
            grid = grid(dict(self.meta))
        sizes = grid_of(grid, self.kernel, self.limits)
        for (i, i_low, i_high), (j, j_low, j_high) in self.pairs:
            a, b = values[i], values[j]
            if not self.by_address or (a + i_low < b + j_high and b + j_low < a + i_high):
                self._compare(i, j, owners)
        self.counter[0] += 1
        if OBSERVED.recorder is not None:
            OBSERVED.recorder.launched(self, sizes, values, owners)
        runs = OBSERVED.runs
        start = 0 if runs is None else perf_counter_ns()
        if 0 not in sizes:
            self.launch(sizes, values, owners)
        if runs is not None:
            runs.append((self, start, perf_counter_ns()))

    def _compare(self, i: int, j: int, owners: Sequence[Any]) -> None:
        out, other = (as_array(owners[k], f"{self.kernel}(): {self.names[k]}") for k in (i, j))
        if out is not None and other is not None:
            check_pair(out, other, self.names[i], self.names[j], self.kernel)


def spans(names: Sequence[str], refs: Mapping[str, ArrayRef], written: frozenset[str]) -> tuple[tuple[Span, Span], ...]:
    """Each output paired with each other array, two outputs once."""

    def span(name: str) -> Span:
        return (names.index(name), *refs[name].extent)

    found = []
    for i, out in enumerate(names):
        if out not in written or out not in refs:
            continue
        for j, other in enumerate(names):
            if other in refs and j != i and not (other in written and j < i):
                found.append((span(out), span(other)))
    return tuple(found)


GridLike = int | Sequence[int] | Callable[[dict[str, Any]], int | Sequence[int]]
