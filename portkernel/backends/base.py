"""What a backend is, and what it hands to the runtime."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol

from ..dtypes import DType
from ..ir import Func, Op, Tensor, Tile
from ..loc import Loc
from ..targets import Target


@dataclass(frozen=True, slots=True)
class Param:
    """A run-time parameter of a kernel, in launch order: a tensor or a scalar (``Tile`` of shape ``()``).

    The C family passes a tensor as its pointer, then each size and each stride that its type leaves open (None), as
    int64, sizes first; a scalar as itself (float16 and bfloat16 as float32, bool as int32).

    OpenCL alone: right after each pointer comes ``long <name>_offset``, in elements, which the text adds to the pointer
    first thing (a buffer cannot start at element (0, …, 0) of a view). ``int* status`` is last and has no offset.
    """

    name: str
    type: Tensor | Tile


@dataclass(frozen=True, slots=True)
class Support:
    """Whether a backend can express an operation on a dtype on a target, and why not."""

    state: Literal["native", "emulated", "unsupported"]
    reason: str = ""

    def __bool__(self) -> bool:
        return self.state != "unsupported"


@dataclass(frozen=True, slots=True)
class Source:
    """Emitted text and all that a launch needs to know of it.

    ``lines`` maps a line of the text (from 1) to the kernel line it came from. ``asserts`` lists the messages of
    device assertions: code ``i + 1`` in the status word stands for entry ``i``. ``emulated`` names the dtypes whose
    arithmetic is done in a wider type. ``local_bytes`` of local memory are asked for at the launch; ``group_bytes`` are
    all that a group takes, those that are declared included; None where the compiler of the text decides. Arrays of
    ``private_bytes`` are each thread's own: on its stack, where it is a thread of the host.
    """

    text: str
    entry: str
    backend: str
    target: Target
    params: tuple[Param, ...]
    threads: int = 1
    local_bytes: int = 0
    lines: tuple[tuple[int, Loc], ...] = ()
    asserts: tuple[tuple[str, Loc], ...] = ()
    emulated: frozenset[str] = frozenset()
    options: tuple[tuple[str, object], ...] = field(default=())
    suffix: str = ".txt"
    group_bytes: int | None = None
    private_bytes: int = 0

    def loc_of(self, line: int) -> Loc | None:
        """The kernel line that the emitted ``line`` came from: the nearest mapped line at or above it."""
        best: Loc | None = None
        for emitted, loc in self.lines:
            if emitted > line:
                break
            best = loc
        return best


class Backend(Protocol):
    """Tile function in, text out: pure, with no device and no device package."""

    name: str

    def supports(self, op: type[Op], dtype: DType, target: Target) -> Support: ...

    def emit(self, func: Func, target: Target) -> Source: ...
