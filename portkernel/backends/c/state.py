"""What lowering knows as it walks a function: where values are, and which memory has been touched since the last barrier."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ...dtypes import DType
from ...errors import ResourceError
from ...ir import Func, Op, Value, walk
from ...ir.simt import Barrier, Base, Pointer
from ...loc import Loc
from ...targets import Target
from .build import Index, SimtBuilder, Values
from .layout import Layouts, Rows, Visit, last
from .plan import Plan

ROW = 32  # rows of an accumulator are padded to whole panels of the micro-kernel on one thread


@dataclass(frozen=True, slots=True)
class Storage:
    """A stored tile. ``own``: each thread has its elements in private memory, by register; otherwise row-major by index,
    rows ``pitch`` elements apart, dimension ``inner`` as if it were the last."""

    pointer: Value
    shape: tuple[int, ...]
    own: bool
    pitch: int
    inner: int = -1

    @property
    def dtype(self) -> DType:
        return self.pointer.type.dtype if isinstance(self.pointer.type, Pointer) else self.pointer.tile.dtype

    def place(self, b: SimtBuilder, index: tuple[Index, ...], register: Index) -> Index:
        """The element of the array that holds ``index``."""
        if self.own:
            return register
        if not self.shape:
            return 0
        return b.flat(last(index, self.inner), (*last(self.shape, self.inner)[:-1], self.pitch))


@dataclass(frozen=True, slots=True)
class Box:
    """The place of a load or a store in its tensor: a coordinate for each dimension, and the linear offset of the corner."""

    tensor: Value
    offsets: tuple[Index, ...]
    corner: Index


@dataclass(slots=True)
class State:
    """The state of one lowering."""

    func: Func
    target: Target
    layouts: Layouts
    plan: Plan
    b: SimtBuilder
    scalars: dict[Value, Value] = field(default_factory=dict)
    constants: dict[Value, int | float | bool] = field(default_factory=dict)
    stored: dict[Value, Storage] = field(default_factory=dict)
    on_the_way: dict[Value, Storage] = field(default_factory=dict)
    """Tiles that the next fold stores while it reads them."""
    boxes: dict[Op, Box] = field(default_factory=dict)
    makers: dict[Value, Op] = field(default_factory=dict)
    inside: frozenset[Op] = frozenset()
    """Loads and stores whose box is known to lie inside the tensor, here."""
    outside: frozenset[Op] = frozenset()
    """Those whose box is taken not to lie inside, here: in the last turns of a loop whose other turns have them inside."""
    streams: dict[Value, Value] = field(default_factory=dict)
    """Tensors that are written past the caches where they are large, and whether they are."""
    staged: dict[Op, Storage] = field(default_factory=dict)
    """Stores that go to a tile of this thread for the time being."""
    depth: int = 0
    dirty: bool = False
    """Whether local memory was touched since the last barrier."""
    read: set[Value] = field(default_factory=set)
    written: set[Value] = field(default_factory=set)
    """Tensors touched since the last barrier."""
    local: list[tuple[int, str, Loc]] = field(default_factory=list)
    spare: dict[tuple[DType, int], list[Value]] = field(default_factory=dict)
    """Buffers of one thread that are free again."""

    def __post_init__(self) -> None:
        for op in walk(self.func.body):
            for r in op.results:
                self.makers[r] = op
        for p in self.func.params:
            if not hasattr(p.type, "strides"):
                self.scalars[p] = p

    @property
    def threads(self) -> int:
        return self.layouts.threads

    def each(self, shape: tuple[int, ...], visit: Visit, lanes: int = 1, *, unrolled: bool = False) -> None:
        """Visit the elements of a tile of ``shape`` that this thread holds, ``lanes`` neighbours at once if it holds them all;
        ``unrolled`` as of :class:`Rows`."""
        layout = self.layouts.of(shape)
        if isinstance(layout, Rows):
            layout.each(self.b, visit, lanes, unrolled=unrolled)
        else:
            layout.each(self.b, visit)

    # --- memory -------------------------------------------------------------------------------------------------

    def allocate(self, shape: tuple[int, ...], dtype: DType, own: bool, what: str, loc: Loc) -> Storage:
        """Fresh storage for a tile: private where each thread reads its own elements or there is one thread, else local."""
        pitch = shape[-1] if shape else 1
        if self.threads == 1:
            inner = self.layouts.inner(shape)
            pitch = shape[inner] if shape else 1
            if shape in self.layouts.accumulators:
                pitch = -(-pitch // ROW) * ROW
            size = math.prod(last(shape, inner)[:-1]) * pitch
            return Storage(self.buffer(size, dtype, what, loc), shape, False, pitch, inner)
        if own:
            registers = self.layouts.of(shape).registers
            return Storage(self.b.alloc(dtype, registers, "private"), shape, True, pitch)
        return Storage(self.buffer(math.prod(shape[:-1]) * pitch, dtype, what, loc), shape, False, pitch)

    def buffer(self, size: int, dtype: DType, what: str, loc: Loc) -> Value:
        """An array that the whole group sees: local memory, or a private array if there is one thread."""
        self.local.append((size * dtype.itemsize, what, loc))
        if self.threads == 1:
            return self.b.alloc(dtype, size, "private")
        return self.b.alloc(dtype, size, "local")

    @contextmanager
    def borrowed(self, shapes: Sequence[tuple[tuple[int, ...], DType]]) -> Iterator[list[Storage]]:
        """Storage for tiles of one thread that nobody reads after the ``with`` block."""
        taken: list[Storage] = []
        for shape, dtype in shapes:
            inner = self.layouts.inner(shape)
            free = self.spare.setdefault((dtype, math.prod(shape)), [])
            pointer = free.pop() if free else self.b.alloc(dtype, math.prod(shape), "private")
            taken.append(Storage(pointer, shape, False, shape[inner] if shape else 1, inner))
        yield taken
        for storage in taken:
            self.spare[storage.dtype, math.prod(storage.shape)].append(storage.pointer)

    def base(self, tensor: Value) -> Value:
        """The pointer of a tensor parameter."""
        return self.b.pure(Base, Pointer(tensor.tensor.dtype, "global"), tensor=tensor)

    # --- order --------------------------------------------------------------------------------------------------

    def fence(self) -> None:
        """A barrier, if a thread may have touched shared memory since the last one."""
        if self.threads > 1 and (self.dirty or self.read or self.written):
            self.b.emit(Barrier, ())
            self.dirty = False
            self.read.clear()
            self.written.clear()

    def before_write(self, storage: Storage) -> None:
        """Wait until every thread has read what ``storage`` held, if it may have held something."""
        if not storage.own and self.threads > 1 and self.depth > 0:
            self.fence()

    def after_write(self, storage: Storage) -> None:
        """Make what was written to ``storage`` visible to the group."""
        if not storage.own and self.threads > 1:
            self.dirty = True
            self.fence()

    def reading(self, tensor: Value) -> None:
        """Called once before code that reads ``tensor``, at a place that all threads pass."""
        if tensor in self.written:
            self.fence()
        self.read.add(tensor)

    def writing(self, tensor: Value) -> None:
        """Called once before code that writes ``tensor``, at a place that all threads pass."""
        if tensor in self.read or tensor in self.written:
            self.fence()
        self.written.add(tensor)

    def first(self, body: Callable[[], Values]) -> None:
        """``body`` on one thread of the group."""
        if self.threads == 1:
            body()
        else:
            self.b.branch(self.b.binary("eq", self.b.thread(), self.b.const(0, self.b.thread().vec.dtype)), body)

    def check_local(self) -> int:
        """The local memory in bytes. Raises :class:`~portkernel.errors.ResourceError` if the target has less of it, or of
        private memory where there is one thread: its stack would overflow and take the process with it."""
        total = sum(n for n, _, _ in self.local)
        alone = self.threads == 1
        limit = self.target.private_bytes if alone else self.target.local_bytes
        if total > limit:
            size, what, loc = max(self.local, key=lambda item: item[0])
            raise ResourceError(
                f"{self.func.name}(): {'private' if alone else 'local'} memory: expected at most {limit} bytes on "
                f"{self.target.name}, got {total}; the largest part is {what} with {size} bytes",
                loc=loc,
                hint="use smaller tiles",
            )
        return 0 if alone else total
