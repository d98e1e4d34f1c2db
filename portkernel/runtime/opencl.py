"""OpenCL through pyopencl: devices, targets, compilation."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from .. import config
from ..backends import Source
from ..errors import NoDeviceError
from ..ir import Func
from ..targets import Target
from . import platforms, pocl
from .arguments import HOST, ArrayRef
from .compilation import begin, key_for, obtain
from .driver import Binary, Device
from .opencl_build import compile_job, job_for, options_for
from .opencl_devices import facts, in_place, is_special, select
from .opencl_kernel import Loaded
from .programs import scheduled
from .specialize import outputs


@dataclass(frozen=True, slots=True)
class Handle:
    """What a :class:`Device` of this driver holds.

    ``in_place``: kernels take the host's own addresses. ``alone``: they run on the thread that launches them.
    """

    device: Any
    context: Any
    queue: Any
    in_place: bool
    alone: bool = False
    schedule: str | None = None


class Driver:
    """Every OpenCL device in sight. Raises MissingDependencyError if pyopencl is absent."""

    name = "opencl"

    def __init__(self) -> None:
        self.cl = platforms.load()
        self._lock = threading.Lock()
        self._handles: dict[tuple[int, int], Handle] = {}

    def devices(self) -> Sequence[Device]:
        return tuple(self._open(d) for d in self._all() if not is_special(d))

    def _all(self) -> list[Any]:
        try:
            return platforms.all_devices()
        except NoDeviceError:
            return []

    def device(self, wanted: str | None, like: ArrayRef | None) -> Device:
        if like is not None and like.device.startswith("opencl:"):
            queue = like.owner.queue
            return self._open(queue.device, queue)
        name, _, schedule = (wanted or "").partition("/")
        found = select(platforms.all_devices(), name)
        return self._open(found, None, schedule or None)

    def _open(self, device: Any, queue: Any = None, schedule: str | None = None) -> Device:
        key = (device.int_ptr, 0 if queue is None else queue.int_ptr)
        with self._lock:
            handle = self._handles.get(key)
            if handle is None:
                context = self.cl.Context([device]) if queue is None else queue.context
                made = self.cl.CommandQueue(context) if queue is None else queue
                handle = Handle(device, context, made, in_place(self.cl, device), pocl.is_alone(device))
                self._handles[key] = handle
        if schedule:
            handle = replace(handle, schedule=schedule)
        memory = (
            f"opencl:{queue.context.int_ptr}:{queue.int_ptr}"
            if queue is not None
            else HOST
            if handle.in_place
            else "opencl"
        )
        return Device("opencl", device.name.strip(), f"opencl:{key[0]}:{key[1]}", memory, handle)

    def target(self, device: Device) -> Target:
        handle: Handle = device.handle
        found = facts(self.cl, handle.device)
        return scheduled(found, handle.schedule) if handle.schedule else found

    def compile(self, source: Source, func: Func, device: Device) -> Loaded:
        handle: Handle = device.handle
        settings = config.get()
        job = job_for(source.text, handle.device)
        compiler = _compiler(handle.device)
        for fresh in (False, True):
            entry = obtain(source, compiler, job, job, lambda: compile_job(job), settings, fresh)
            try:
                program = self._program(handle, entry.data)
                return Loaded(self.cl, program, source, handle, outputs(func), key_for(source, compiler, job))
            except self.cl.Error:
                if fresh:  # the device takes no binaries, not even of its own making
                    program = self.cl.Program(handle.context, source.text).build(
                        options_for(handle.device), cache_dir=False
                    )
                    return Loaded(self.cl, program, source, handle, outputs(func))
        raise AssertionError("unreachable")

    def _program(self, handle: Handle, binary: bytes) -> Any:
        with warnings.catch_warnings():  # pyopencl warns of every log that is not empty
            warnings.simplefilter("ignore")
            return self.cl.Program(handle.context, [handle.device], [binary]).build(cache_dir=False)

    def compiler(self, device: Device) -> tuple[object, ...]:
        """What a binary depends on besides the text."""
        found = device.handle.device
        return _compiler(found), found.name, tuple(options_for(found))

    def revive(self, source: Source, binary: bytes, writes: frozenset[str], device: Device) -> Loaded | None:
        """What :meth:`compile` made in an earlier process, by a ``source`` without its text; None where it is refused."""
        try:
            return Loaded(self.cl, self._program(device.handle, binary), source, device.handle, writes)
        except self.cl.Error:
            return None

    def begin(self, source: Source, device: Device) -> None:
        """Start to compile what :meth:`compile` will be asked for."""
        job = job_for(source.text, device.handle.device)
        begin(source, _compiler(device.handle.device), job, job, config.get())

    def binary(self, source: Source) -> Binary:
        device = select(platforms.all_devices(), config.get().device or "")
        job = job_for(source.text, device)
        entry = obtain(source, _compiler(device), job, job, lambda: compile_job(job), config.get())
        return Binary("opencl binary", entry.data, entry.log, {"device": device.name, "entry": source.entry})


def _compiler(device: Any) -> str:
    return f"{device.platform.name}|{device.platform.version}|{device.name}|{device.driver_version}|{device.vendor}"
