"""OpenCL devices: picking one, and what it says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .. import targets
from ..errors import NoDeviceError
from ..targets import Target
from . import host, platforms, pocl
from .opencl_wide import takes_wide_vectors

_WORDS = {"cpu": "CPU", "gpu": "GPU"}
_SAFE, _WIDE = 32, 64
"""Bytes of the vectors that every CPU compiler takes, and of those that LLVM 14 in PoCL's wheel may die of."""


def select(devices: Sequence[Any], wanted: str) -> Any:
    """The device that ``wanted`` names: its index, part of its or its platform's name, ``platform:index``, ``cpu`` or
    ``gpu``; without a name the first CPU, else the first device. Raises NoDeviceError."""
    usual = [d for d in devices if not is_special(d)]
    if not devices:
        raise NoDeviceError("opencl: no device was found", hint='pip install "portkernel[cpu]"')
    part, _, index = wanted.lower().partition(":")
    if not wanted:
        found = sorted(usual, key=lambda d: not _is_kind(d, "CPU")) or list(devices)
    elif wanted.isdigit():
        found = usual[int(wanted) : int(wanted) + 1]
    elif part in _WORDS:
        found = [d for d in usual if _is_kind(d, _WORDS[part])]
    else:
        found = [d for d in devices if part in f"{d.platform.name} {d.name} {d.version}".lower()]
    place = int(index) if index.isdigit() else 0
    if place >= len(found):
        known = ", ".join(f"{d.name.strip()} ({d.platform.name})" for d in devices)
        raise NoDeviceError(f"opencl: device: expected a known device, got {wanted!r}", hint=f"the devices are {known}")
    return found[place]


def _is_kind(device: Any, word: str) -> bool:
    return bool(device.type & getattr(platforms.load().device_type, word))


def is_special(device: Any) -> bool:
    """Simulators, emulators and a device without threads of its own, taken only by name."""
    return pocl.is_alone(device) or any(word in device.platform.name for word in ("Oclgrind", "FPGA"))


def in_place(cl: Any, device: Any) -> bool:
    """Whether kernels on ``device`` take the host's own addresses."""
    if not device.type & cl.device_type.CPU or "Oclgrind" in device.platform.name:
        return False
    try:
        shared = device.svm_capabilities & cl.device_svm_capabilities.FINE_GRAIN_SYSTEM
    except cl.Error:
        shared = 0
    return bool(shared) or "PoCL" in device.version  # PoCL's CPU devices take any address and do not say so


def facts(cl: Any, device: Any) -> Target:
    """The generic profile with what the device says of itself, and of a CPU what the system does."""
    is_cpu = bool(device.type & cl.device_type.CPU) and not is_special(device)
    base = targets.find("opencl-cpu" if is_cpu else "opencl-gpu")
    extensions = set(device.extensions.split())
    native, absent, features = set(base.native), set(base.absent), set(base.features)
    if not device.double_fp_config:
        native.discard("float64")
        absent.add("float64")
    if not {"cl_khr_int64_base_atomics", "cl_khr_int64_extended_atomics"} <= extensions:
        features.discard("int64_atomics")
    if is_cpu and "PoCL" in device.version:
        features.add("scalar_math")
    widths: dict[str, object] = {"max_threads": min(256, int(device.max_work_group_size))}
    if is_cpu:
        widest = 4 * max(4, min(16, device.native_vector_width_float))
        width = widest if widest < _WIDE or takes_wide_vectors(device) else _SAFE
        widths = {"vector_bytes": width, "dot_vector_bytes": width, **host.caches()}
    return targets.variant(
        base,
        local_bytes=int(device.local_mem_size),
        units=int(device.max_compute_units),
        native=frozenset(native),
        absent=frozenset(absent),
        features=frozenset(features),
        **widths,
    )
