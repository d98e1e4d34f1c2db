"""CUDA: NVRTC compiles, CuPy launches. Compiling needs neither a driver nor CuPy."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from .. import config, targets
from ..backends import Source
from ..errors import MissingDependencyError, NoDeviceError, UnsupportedOpError
from ..ir import Func, Tensor
from ..targets import Target
from . import nvrtc
from .arguments import HOST, ArrayRef
from .cache import Entry
from .compilation import obtain
from .driver import Binary, Device, Grid, Launch, Value, raise_assertion
from .opencl_kernel import scalar_type
from .specialize import outputs
from .statistics import COUNTERS

_OPTIONS = ("--std=c++17", "--fmad=false", "--device-int128")
_STATIC_LOCAL = 48 * 1024
_PROFILES = {8: "nvidia-a100", 9: "nvidia-h100"}


@cache
def _cupy() -> Any:
    try:
        import cupy
    except ImportError:
        raise MissingDependencyError("cuda: CuPy is not installed", hint='pip install "portkernel[cuda]"') from None
    return cupy


class Driver:
    """The CUDA devices that CuPy sees, none of which is needed to compile."""

    name = "cuda"

    def devices(self) -> Sequence[Device]:
        try:
            runtime = _cupy().cuda.runtime
            count = runtime.getDeviceCount()
        except MissingDependencyError:
            return ()
        except Exception:  # CuPy has an error class of its own for each library that may be missing
            return ()
        names = [runtime.getDeviceProperties(i)["name"].decode() for i in range(count)]
        return tuple(Device("cuda", name, f"cuda:{i}", f"cuda:{i}", i) for i, name in enumerate(names))

    def device(self, wanted: str | None, like: ArrayRef | None) -> Device:
        _cupy()
        found = self.devices()
        if not found:
            raise NoDeviceError(
                "cuda: no device was found", hint="kernel.source() and kernel.compile() work without one"
            )
        if wanted is None:
            wanted = like.device if like is not None and like.device != HOST else "0"
        for device in found:
            if wanted in (str(device.handle), device.key) or (
                not wanted.isdigit() and wanted.lower() in device.name.lower()
            ):
                return device
        known = ", ".join(d.name for d in found)
        raise NoDeviceError(f"cuda: device: expected a known device, got {wanted!r}", hint=f"the devices are {known}")

    def target(self, device: Device) -> Target:
        facts = _cupy().cuda.runtime.getDeviceProperties(device.handle)
        major, minor = facts["major"], facts["minor"]
        profile = _PROFILES.get(major, "nvidia-h100" if major > 9 else "nvidia-a100")
        return targets.variant(
            targets.find(profile),
            arch=f"sm_{major}{minor}",
            local_bytes=int(facts.get("sharedMemPerBlockOptin") or facts["sharedMemPerBlock"]),
            units=int(facts["multiProcessorCount"]),
        )

    def compile(self, source: Source, func: Func, device: Device) -> _Loaded:
        return _Loaded(source, device, _obtain(source, "cubin").data, outputs(func))

    def binary(self, source: Source) -> Binary:
        nvrtc.library()
        if source.target.vendor != "nvidia":
            raise UnsupportedOpError(f"compile(): target: expected a target of NVIDIA, got {source.target.name!r}")
        entry = _obtain(source, "ptx")
        return Binary("ptx", entry.data, entry.log, {"arch": source.target.arch, "entry": source.entry, **entry.facts})


def _obtain(source: Source, form: str) -> Entry:
    job = {"compiler": "cuda", "text": source.text, "entry": source.entry, "arch": source.target.arch, "form": form}
    named = "nvrtc " + ".".join(map(str, nvrtc.version()))
    return obtain(source, named, {"form": form, "options": _OPTIONS}, job, lambda: compile_job(job), config.get())


def compile_job(job: Mapping[str, Any]) -> Entry:
    """Compile in this process. Raises :class:`.compilation.Refused` with the log."""
    ptx, cubin, log = nvrtc.compile(job["text"], f"{job['entry']}.cu", job["arch"], _OPTIONS)
    return Entry(ptx if job["form"] == "ptx" else cubin, log, {"arch": job["arch"]})


class _Loaded:
    def __init__(self, source: Source, device: Device, cubin: bytes, writes: frozenset[str]) -> None:
        self.source = source
        self.device = device
        self.writes = writes
        cupy = _cupy()
        with cupy.cuda.Device(device.handle):
            self.module = cupy.cuda.function.Module()
            self.module.load(cubin)
            self.function = self.module.get_function(source.entry)
            if source.local_bytes > _STATIC_LOCAL:
                self.function.max_dynamic_shared_size_bytes = source.local_bytes
            self.status = cupy.zeros(1, cupy.int32)

    def prepare(self, args: Sequence[Value]) -> Launch:
        """Arguments as ctypes-sized NumPy scalars, open sizes and strides fixed."""
        cupy, source = _cupy(), self.source
        templates = [(p, a if isinstance(a, ArrayRef) else None) for p, a in zip(source.params, args, strict=True)]

        def launch(grid: Grid, values: Sequence[Any], owners: Sequence[Any]) -> None:
            copies: list[tuple[Any, Any]] = []
            with cupy.cuda.Device(self.device.handle):
                flat: list[Any] = []
                for (param, ref), value in zip(templates, values, strict=True):
                    if ref is None:
                        flat.append(np.dtype(scalar_type(param.type.dtype)).type(value))
                        continue
                    assert isinstance(param.type, Tensor)
                    flat.append(np.uint64(self._address(param.name, ref, value, copies)))
                    flat += [np.int64(n) for n, known in zip(ref.shape, param.type.shape, strict=True) if known is None]
                    flat += [
                        np.int64(s) for s, known in zip(ref.strides, param.type.strides, strict=True) if known is None
                    ]
                if source.asserts:
                    self.status.fill(0)
                flat.append(np.uint64(self.status.data.ptr))
                self.function(grid, (source.threads, 1, 1), tuple(flat), source.local_bytes)
                for host, device_copy in copies:
                    host[...] = cupy.asnumpy(device_copy)
                if source.asserts:
                    raise_assertion(source, int(self.status.get()[0]))

        return launch

    def _address(self, name: str, ref: ArrayRef, value: int, copies: list[tuple[Any, Any]]) -> int:
        """The address of element (0, …, 0) on the device; host arrays are copied there, outputs noted for the way back."""
        if ref.device != HOST:
            return value
        low, high = ref.extent
        if low == high:
            return 0
        host = np.frombuffer((ctypes.c_char * (high - low)).from_address(value + low), np.uint8)
        copy = _cupy().asarray(host)
        copies.append((host, copy) if name in self.writes else (np.empty(0), copy[:0]))
        COUNTERS.add("bytes_copied", (high - low) * (2 if name in self.writes else 1))
        return int(copy.data.ptr) - low
