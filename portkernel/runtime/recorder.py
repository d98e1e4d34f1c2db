"""What a host function did, noted while it ran: its allocations, its launches and where each address came from.

A host function that only looks at shapes, allocates and launches does the same for every call of one signature; then its
launches can be made again without it (:mod:`~portkernel.runtime.replay`). One that read or wrote data itself says so
(:func:`note_host_work`), or is found out by an address that belongs to no argument and no allocation.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ..dtypes import Scalar
from ..errors import LaunchError
from .address import reader_of
from .arguments import HOST, ArrayRef, look
from .checks import Grid
from .observation import OBSERVED

if TYPE_CHECKING:
    from .plan import Plan

Place = tuple[int, int, int]
"""Position among a launch's values, number of the memory, offset into it in bytes."""
FOREIGN = -1
"""The number of memory that is neither an argument's nor an allocation; the offset then is the address itself."""


@dataclass(frozen=True, slots=True)
class Step:
    """A launch. ``values`` hold its scalars, and 0 where ``places`` put an address."""

    plan: Plan
    sizes: Grid
    values: tuple[Scalar, ...]
    places: tuple[Place, ...]
    operator: str = ""
    """The operator that made it, if one did."""


@dataclass(frozen=True, slots=True)
class Allocation:
    """New memory in row-major order: of NumPy where ``dtype`` is NumPy's, else of PyTorch."""

    shape: tuple[int, ...]
    dtype: Any
    size: int
    """In bytes."""
    device: Any = None
    """PyTorch's; None for NumPy."""

    @property
    def on_host(self) -> bool:
        return self.device is None or self.device.type == HOST


@dataclass(frozen=True, slots=True)
class Result:
    """An array that the function returned: an argument or an allocation, or a view of one."""

    memory: int
    offset: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    """In elements."""
    dtype: Any
    is_view: bool
    is_plain: bool = True
    """Whether the memory's own array is in row-major order."""


Results = Result | tuple[Any, ...] | None
"""For a tuple or list its type and its members."""


@dataclass(frozen=True, slots=True)
class Recording:
    """Memories are numbered: the arguments, then the allocations."""

    arguments: tuple[tuple[int, int], ...]
    """Of each argument its lowest byte and one past its highest, relative to its address."""
    allocations: tuple[Allocation, ...]
    steps: tuple[Step, ...]
    results: Results
    written: tuple[int, ...]
    """The arguments that launches store to."""


@dataclass(slots=True)
class _Memory:
    address: int
    low: int
    high: int
    owner: Any


class Recorder:
    """Notes what one run of a host function does. ``arguments`` are its arrays, those at one address merged into one.

    With ``foreign``, addresses of other memory are allowed and taken as they are.
    """

    def __init__(self, arguments: Sequence[Any], foreign: bool = False) -> None:
        self.foreign = foreign
        self.spoilt: str | None = None
        """Why the run cannot be repeated without the function, if it cannot."""
        self.memories: list[_Memory] = []
        self.allocations: list[Allocation] = []
        self.steps: list[Step] = []
        self.calls: list[tuple[Sequence[Scalar], Sequence[Any]]] = []
        """The values and owners of each step, as they were."""
        self.written: set[int] = set()
        for array in arguments:
            self._argument(array)
        self.count = len(self.memories)

    def spoil(self, why: str) -> None:
        if self.spoilt is None:
            self.spoilt = why

    def _argument(self, array: Any) -> None:
        ref = self._looked_at(array)
        if ref is None or ref.buffer is not None:
            self.spoil(f"{type(array).__name__} that has no address")
            return
        low, high = ref.extent
        for known in self.memories:
            if known.address == ref.ptr:
                known.low, known.high = min(known.low, low), max(known.high, high)
                return
        self.memories.append(_Memory(ref.ptr, low, high, array))

    # --- what the run reports -------------------------------------------------------------------------------

    def allocated(self, array: Any) -> None:
        """New memory that the function has made for itself or for its caller."""
        reader = reader_of(type(array))
        if reader is None:
            self.spoil(f"memory of {type(array).__name__}")
            return
        address, _ = reader(array)
        size = array.dtype.itemsize
        for n in array.shape:
            size *= int(n)
        if address % 16:
            self.spoil("memory that is not aligned")
        device = None if type(array) is np.ndarray else array.device
        self.allocations.append(Allocation(tuple(map(int, array.shape)), array.dtype, size, device))
        self.memories.append(_Memory(address, 0, size, array))

    def launched(self, plan: Plan, sizes: Grid, values: Sequence[Scalar], owners: Sequence[Any]) -> None:
        """A launch that is about to run."""
        if self.spoilt is not None:
            return
        if not plan.by_address:
            self.spoil(f"{plan.kernel} takes buffers, not addresses")
            return
        kept = list(values)
        places: list[Place] = []
        for position, extent in enumerate(plan.extents):
            if extent is None:
                continue
            if extent == (0, 0):  # an empty array lies nowhere
                kept[position] = 0
                continue
            found = self.find(int(values[position]), *extent)
            if found is None:
                self.spoil(f"{plan.kernel}(): {plan.names[position]}: memory of neither an argument nor an allocation")
                return
            places.append((position, *found))
            kept[position] = 0
            if position in plan.writes and 0 <= found[0] < self.count:
                self.written.add(found[0])
        self.steps.append(Step(plan, sizes, tuple(kept), tuple(places), OBSERVED.operator))
        self.calls.append((tuple(values), tuple(owners)))

    def memory_at(self, address: int) -> int | None:
        """The number of the memory whose element (0, …, 0) lies at ``address``."""
        return next((i for i, m in enumerate(self.memories) if m.address == address), None)

    def find(self, address: int, low: int, high: int) -> tuple[int, int] | None:
        """The memory that holds these bytes, and how far into it ``address`` lies."""
        inside = [
            i
            for i, m in enumerate(self.memories)
            if m.address + m.low <= address + low and address + high <= m.address + m.high
        ]
        if len(inside) > 1:  # arguments that are interleaved; an array of their elements begins at one of its own
            inside = self._exactly(inside, address)
        if len(inside) != 1:
            return (FOREIGN, address) if self.foreign else None
        return inside[0], address - self.memories[inside[0]].address

    def _exactly(self, inside: Sequence[int], address: int) -> list[int]:
        begins = [i for i in inside if self.memories[i].address == address]
        others = [i for i in inside if i not in begins]
        if len(begins) != 1 or max(inside) >= self.count:
            return []
        mine = self._bytes(begins[0])
        for i in others:
            try:
                shared = np.shares_memory(mine, self._bytes(i), max_work=10_000)  # type: ignore[arg-type]  # as in checks
            except np.exceptions.TooHardError:
                shared = True
            if shared:
                return []
        return begins

    def _bytes(self, memory: int) -> np.ndarray[Any, Any]:
        ref = self._looked_at(self.memories[memory].owner)
        assert ref is not None
        return ref.numpy()

    # --- the end --------------------------------------------------------------------------------------------

    def finish(self, returned: object) -> Recording | None:
        """The whole of it, once the function has returned; None where it is ``spoilt``."""
        results = self._results(returned)
        if self.spoilt is not None:
            return None
        extents = tuple((m.low, m.high) for m in self.memories[: self.count])
        return Recording(extents, tuple(self.allocations), tuple(self.steps), results, tuple(sorted(self.written)))

    def _results(self, returned: object) -> Results:
        if returned is None:
            return None
        if type(returned) in (tuple, list):
            return (type(returned), *(self._results(r) for r in returned))  # type: ignore[attr-defined]  # a tuple or list
        for i, m in enumerate(self.memories):
            if m.owner is returned:
                return Result(i, 0, (), (), None, False)
        return self._view(returned)

    def _view(self, returned: Any) -> Results:
        ref = self._looked_at(returned) if reader_of(type(returned)) is not None else None
        if ref is None:
            self.spoil(f"a result of type {type(returned).__name__}")
            return None
        found = self.find(ref.ptr, *ref.extent)
        if found is None or found[0] == FOREIGN:
            self.spoil("a result that is neither an argument nor an allocation")
            return None
        memory, offset = found
        base, size = self.memories[memory].owner, ref.dtype.itemsize
        plain = base.flags.c_contiguous if type(base) is np.ndarray else True
        if type(base) is not type(returned) or base.dtype != returned.dtype or offset % size or (offset and not plain):
            self.spoil("a result that is no plain view of its memory")
            return None
        strides = tuple(s // size for s in returned.strides) if type(base) is np.ndarray else tuple(returned.stride())
        return Result(memory, offset // size, tuple(ref.shape), strides, returned.dtype, True, plain)

    def _looked_at(self, array: Any) -> ArrayRef | None:
        """``array``, of any rank; None for what no kernel takes."""
        try:
            return look(array, "argument")
        except LaunchError:
            return None


@contextmanager
def recording(recorder: Recorder) -> Iterator[Recorder]:
    """Inside the ``with`` block, in this thread, launches and allocations are reported to ``recorder``."""
    before, OBSERVED.recorder = OBSERVED.recorder, recorder
    try:
        yield recorder
    finally:
        OBSERVED.recorder = before


def note_allocation(array: Any) -> Any:
    """Say that a host function has allocated ``array``; returns it. Only such memory lets a call be repeated without the function.

    >>> import numpy as np
    >>> note_allocation(np.empty(3)).shape
    (3,)
    """
    if OBSERVED.recorder is not None:
        OBSERVED.recorder.allocated(array)
    return array


def note_host_work(what: str) -> None:
    """Say that a host function reads or writes the data of an array itself, so that its calls cannot be repeated without it.

    >>> note_host_work("reads the offsets")
    """
    if OBSERVED.recorder is not None:
        OBSERVED.recorder.spoil(what)
