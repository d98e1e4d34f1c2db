"""Launching an OpenCL kernel, past pyopencl's argument handling: that costs 5 µs an argument, the C interface 0.5."""

from __future__ import annotations

import ctypes
import weakref
from collections.abc import Callable, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from ..backends import Source
from ..dtypes import DType
from ..errors import CompilerError, InternalError, ResourceError
from ..ir import Tensor
from .arguments import ArrayRef, host_bytes
from .driver import Grid, Launch, Value, raise_assertion
from .opencl_alone import Trial, lock_for, short_on
from .platforms import check_process
from .statistics import COUNTERS

if TYPE_CHECKING:
    from .opencl import Handle

_SCALARS: dict[str, Any] = {
    "bool": ctypes.c_int32, "int8": ctypes.c_int8, "int16": ctypes.c_int16, "int32": ctypes.c_int32, "int64": ctypes.c_int64,
    "uint8": ctypes.c_uint8, "uint16": ctypes.c_uint16, "uint32": ctypes.c_uint32, "uint64": ctypes.c_uint64,
    "float64": ctypes.c_double,
}  # fmt: skip
_Step = Callable[[Any, Any], None]
_POINTER = ctypes.sizeof(ctypes.c_void_p)
_RESOURCES = frozenset({-4, -5, -54, -55})
"""CL_MEM_OBJECT_ALLOCATION_FAILURE, CL_OUT_OF_RESOURCES, CL_INVALID_WORK_GROUP_SIZE, CL_INVALID_WORK_ITEM_SIZE."""


@cache
def _interface() -> Any:
    """The C functions, from the loader that pyopencl has loaded. Python's other threads run during each call."""
    import pyopencl

    return _declared(ctypes.CDLL(pyopencl._cl.__file__))


@cache
def _setters() -> Any:
    """As :func:`_interface`, for functions that return at once: the interpreter is not handed over and won back."""
    import pyopencl

    return _declared(ctypes.PyDLL(pyopencl._cl.__file__))


def _declared(library: Any) -> Any:
    library.clSetKernelArgSVMPointer.argtypes = (ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p)
    library.clSetKernelArg.argtypes = (ctypes.c_void_p, ctypes.c_uint, ctypes.c_size_t, ctypes.c_void_p)
    library.clEnqueueNDRangeKernel.argtypes = (
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint,
        ctypes.c_void_p, ctypes.c_void_p,
    )  # fmt: skip
    library.clFinish.argtypes = library.clReleaseKernel.argtypes = (ctypes.c_void_p,)
    library.clCreateKernel.argtypes = (ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p)
    library.clCreateKernel.restype = ctypes.c_void_p
    return library


def scalar_type(dtype: DType) -> Any:
    """The C type in which a scalar argument is passed: small floats as float32."""
    return _SCALARS.get(dtype.name, ctypes.c_float)


class Loaded:
    """A built program. Every prepared launch has a kernel object of its own, so that sizes are set once."""

    def __init__(
        self, cl: Any, program: Any, source: Source, handle: Handle, writes: frozenset[str], binary: str | None = None
    ) -> None:
        """``binary`` is the cache's key of what was compiled, where it can be loaded again."""
        self.binary = binary
        self.cl = cl
        self.program = program
        self.source = source
        self.handle = handle
        self.writes = writes
        self.alone: Loaded | None = None
        """The program on a device that runs it on the calling thread, once that was tried."""

    def prepare(self, args: Sequence[Value]) -> Launch:
        return Prepared(self, args)


class Prepared:
    """A launch that only lacks addresses and scalars. Called, it returns once host arrays hold the results."""

    def __init__(self, loaded: Loaded, args: Sequence[Value]) -> None:
        self.api, self.set = _interface(), _setters()
        self.loaded = loaded
        self.args = tuple(args)
        self.handle = loaded.handle
        self.pointer = self._create()
        self.queue = ctypes.c_void_p(self.handle.queue.int_ptr)
        self.lock = lock_for(self.handle)
        self.after: list[tuple[Any, Any]] = []
        """Buffers of this launch, which live until its end, each with the host memory that it goes back to, if any."""
        self.on_device = any(isinstance(a, ArrayRef) and a.buffer is not None for a in args)
        self.place = 0
        self.steps: list[_Step] = [
            self._array(param.name, arg) if isinstance(arg, ArrayRef) else self._scalar(param.type.dtype)
            for param, arg in zip(loaded.source.params, args, strict=True)
        ]
        self.status = np.zeros(1, np.int32)
        self._status()
        self.threads = loaded.source.threads
        self.grid: Grid = (0, 0, 0)
        self.sizes = (ctypes.c_size_t * 3)()
        local = (ctypes.c_size_t * 3)(self.threads, 1, 1)
        # Made once: converting nine arguments takes longer than the call.
        self.call = (
            self.queue, ctypes.c_void_p(self.pointer), 3, None, ctypes.cast(self.sizes, ctypes.c_void_p),
            ctypes.cast(local, ctypes.c_void_p), 0, None, None,
        )  # fmt: skip
        self.checked = bool(loaded.source.asserts)
        self.deferrable = self.handle.in_place and not self.on_device and not self.checked
        """Whether :meth:`enqueue` and, after any number of launches, one :meth:`wait` do the same as a call."""
        self.trial: Trial | None = None
        short = short_on(self.handle) if self.deferrable else 0
        if short:
            self.trial = Trial(loaded, self._run, lambda program: Prepared(program, self.args)._run, short)

    def _create(self) -> int:
        """A kernel object, released with this one. pyopencl's own class opens a database and takes 15 ms to import."""
        code = ctypes.c_int()
        entry = self.loaded.source.entry
        made = self.api.clCreateKernel(self.loaded.program.int_ptr, entry.encode(), ctypes.byref(code))
        if code.value:
            raise CompilerError(
                f"{entry}(): expected a built program to hold the kernel, got OpenCL's code {code.value}",
                hint="the driver's own cache may be damaged: set POCL_CACHE_DIR, or PORTKERNEL_CACHE_DIR, to an empty folder",
            )
        weakref.finalize(self, self.api.clReleaseKernel, made).atexit = False
        return int(made)

    def __call__(self, grid: Grid, values: Sequence[Any], owners: Sequence[Any]) -> None:
        if self.deferrable:
            (self.trial or self._run)(grid, values, owners)
            return
        with self.lock:
            self.after.clear()  # what a launch that failed half way left behind
            if self.checked:
                self._reset()
            self._submit(grid, values, owners)
            if self.checked or not self.on_device:
                self.wait()
            for host, buffer in self.after:
                if host is not None:
                    self.loaded.cl.enqueue_copy(self.handle.queue, host, buffer)
            self.after.clear()
            if self.checked:
                raise_assertion(self.loaded.source, self._read())

    def _run(self, grid: Grid, values: Sequence[Any], owners: Sequence[Any]) -> None:
        self.enqueue(grid, values, owners)
        self.wait()

    def enqueue(self, grid: Grid, values: Sequence[Any], owners: Sequence[Any]) -> None:
        """Start a launch. OpenCL has copied the arguments when this returns, so that other threads may set theirs."""
        with self.lock:
            self._submit(grid, values, owners)

    def wait(self) -> None:
        """Until everything in the queue has run. Other threads of Python run meanwhile."""
        check_process()
        code = self.api.clFinish(self.queue)
        if code:
            self._good(code)

    def fixed(self, grid: Grid, values: Sequence[Any], owners: Sequence[Any]) -> Callable[[], None]:
        """The start of a launch with these very arguments, set once, on a kernel object of its own."""
        own = self._copy(grid, values, owners)
        run, call = own.api.clEnqueueNDRangeKernel, own.call

        def start() -> None:
            check_process()
            with own.lock:
                code = run(*call)
            if code:
                own._good(code)

        return start

    def bare(self, grid: Grid, values: Sequence[Any], owners: Sequence[Any]) -> Callable[[], None]:
        """The driver's two calls with these arguments and nothing else: what :mod:`portkernel.bench` compares launches with."""
        own = self._copy(grid, values, owners)
        run, finish, call, queue = own.api.clEnqueueNDRangeKernel, own.api.clFinish, own.call, own.queue

        def both() -> None:
            run(*call)
            finish(queue)

        both.__dict__["owner"] = own  # of what ``call`` points to
        return both

    def _copy(self, grid: Grid, values: Sequence[Any], owners: Sequence[Any]) -> Prepared:
        own = Prepared(self.loaded, self.args)
        own.set_arguments(grid, values, owners)
        return own

    def _submit(self, grid: Grid, values: Sequence[Any], owners: Sequence[Any]) -> None:
        check_process()
        self.set_arguments(grid, values, owners)
        code = self.api.clEnqueueNDRangeKernel(*self.call)
        if code:
            self._good(code)

    def set_arguments(self, grid: Grid, values: Sequence[Any], owners: Sequence[Any]) -> None:
        """Tell OpenCL what differs from the launch before: it keeps the rest, and to tell it takes 1 µs an argument."""
        for step, value, owner in zip(self.steps, values, owners, strict=True):
            step(value, owner)
        if grid != self.grid:
            self.sizes[:] = [grid[0] * self.threads, grid[1], grid[2]]
            self.grid = grid

    # --- arguments ------------------------------------------------------------------------------------------

    def _next(self) -> int:
        self.place += 1
        return self.place - 1

    def _fixed(self, value: Any) -> None:
        """Set an argument that no launch changes. OpenCL copies it."""
        self._good(self.api.clSetKernelArg(self.pointer, self._next(), ctypes.sizeof(value), ctypes.byref(value)))

    def _scalar(self, dtype: DType) -> _Step:
        cell = scalar_type(dtype)()
        place, size, address, set_arg = self._next(), ctypes.sizeof(cell), ctypes.byref(cell), self.set.clSetKernelArg
        pointer = self.pointer
        last: Any = None

        def step(value: Any, owner: Any) -> None:
            nonlocal last
            if value and value == last:  # 0.0 equals -0.0
                return
            cell.value = last = value
            set_arg(pointer, place, size, address)

        return step

    def _array(self, name: str, ref: ArrayRef) -> _Step:
        place, offset_place = self._next(), self._next()
        low, high = ref.extent
        step: _Step
        if ref.buffer is not None:
            step = self._buffer(place, offset_place, ref.dtype.itemsize)
        elif self.handle.in_place:
            set_svm, pointer = self.set.clSetKernelArgSVMPointer, ctypes.c_void_p(self.pointer)
            self._set_long(offset_place, 0)
            last: Any = None

            def step(value: Any, owner: Any) -> None:
                nonlocal last
                if value != last:
                    set_svm(pointer, place, value)
                    last = value

        else:
            self._set_long(offset_place, -low // ref.dtype.itemsize)
            step = self._copied(place, low, high, name in self.loaded.writes)
        kind = self._type(name)
        for known, actual in ((kind.shape, ref.shape), (kind.strides, ref.strides)):
            for fixed, size in zip(known, actual, strict=True):
                if fixed is None:
                    self._fixed(ctypes.c_int64(size))
        return step

    def _type(self, name: str) -> Tensor:
        found = next(p.type for p in self.loaded.source.params if p.name == name)
        assert isinstance(found, Tensor)
        return found

    def _set_long(self, place: int, value: int) -> None:
        self._good(self.api.clSetKernelArg(self.pointer, place, 8, ctypes.byref(ctypes.c_int64(value))))

    def _set_memory(self, place: int, buffer: Any) -> None:
        cell = ctypes.c_void_p(buffer.int_ptr)
        self._good(self.api.clSetKernelArg(self.pointer, place, _POINTER, ctypes.byref(cell)))

    def _buffer(self, place: int, offset_place: int, itemsize: int) -> _Step:
        """An array of pyopencl: its buffer, and how far into it element (0, …, 0) lies."""

        def step(value: Any, owner: Any) -> None:
            self._set_memory(place, owner.base_data)
            self._set_long(offset_place, value // itemsize)

        return step

    def _copied(self, place: int, low: int, high: int, written: bool) -> _Step:
        """Host memory for a device with its own: copied there, and back if the kernel writes it."""
        cl, handle = self.loaded.cl, self.handle

        def step(value: Any, owner: Any) -> None:
            size = high - low
            buffer = cl.Buffer(handle.context, cl.mem_flags.READ_WRITE, max(size, 16))
            self._set_memory(place, buffer)
            host = host_bytes(value + low, size) if size else None
            if host is not None:
                cl.enqueue_copy(handle.queue, buffer, host)
                COUNTERS.add("bytes_copied", size * (2 if written else 1))
            self.after.append((host if written else None, buffer))

        return step

    # --- the status word ------------------------------------------------------------------------------------

    def _status(self) -> None:
        place = self._next()
        self.word: Any = None
        if self.handle.in_place and not self.on_device:
            self._good(self.api.clSetKernelArgSVMPointer(self.pointer, place, self.status.ctypes.data))
            return
        self.word = self.loaded.cl.Buffer(self.handle.context, self.loaded.cl.mem_flags.READ_WRITE, 16)
        self._set_memory(place, self.word)

    def _reset(self) -> None:
        self.status[0] = 0
        if self.word is not None:
            self.loaded.cl.enqueue_copy(self.handle.queue, self.word, self.status)

    def _read(self) -> int:
        if self.word is not None:
            self.loaded.cl.enqueue_copy(self.handle.queue, self.status, self.word)
        return int(self.status[0])

    def _good(self, code: int) -> None:
        if code in _RESOURCES:
            raise ResourceError(
                f"{self.loaded.source.entry}(): expected a kernel that fits {self.handle.device.name.strip()}, got "
                f"{self.loaded.source.threads} threads and {self.loaded.source.local_bytes} bytes of local memory a group",
                hint=f"use smaller tiles (OpenCL said {code})",
            )
        if code:
            raise InternalError(f"{self.loaded.source.entry}(): OpenCL refused the launch with code {code}")
