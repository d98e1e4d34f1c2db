"""NVRTC by its C interface: compiles CUDA C++ on a machine with neither driver nor toolkit."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from ..errors import InternalError, MissingDependencyError
from .compilation import Refused

_NAMES = ("lib/libnvrtc.so*", "lib/x86_64-linux-gnu/libnvrtc.so*", "bin/nvrtc64_*.dll", "bin/*/nvrtc64_*.dll")


def _candidates() -> list[str]:
    """Libraries of the nvidia-cuda-nvrtc wheels, newest first, then what the loader finds by itself."""
    spec = find_spec("nvidia")
    roots = [Path(p) for p in (spec.submodule_search_locations or ())] if spec is not None else []
    found = [p for root in roots for name in _NAMES for p in root.glob(f"*/{name}") if "builtins" not in p.name]
    system = (
        ["nvrtc64_130_0.dll", "nvrtc64_120_0.dll"] if sys.platform == "win32" else ["libnvrtc.so.13", "libnvrtc.so.12"]
    )
    return [*(str(p) for p in sorted(found, key=str, reverse=True)), *system]


@cache
def library() -> Any:
    """The loaded library. Raises :class:`~portkernel.errors.MissingDependencyError`."""
    for name in _candidates():
        try:
            loaded = ctypes.CDLL(name)
        except OSError:
            continue
        loaded.nvrtcGetErrorString.restype = ctypes.c_char_p
        return loaded
    raise MissingDependencyError("cuda: NVRTC is not installed", hint='pip install "portkernel[cuda]"')


@cache
def version() -> tuple[int, int]:
    major, minor = ctypes.c_int(), ctypes.c_int()
    _good(library().nvrtcVersion(ctypes.byref(major), ctypes.byref(minor)))
    return major.value, minor.value


def compile(text: str, name: str, arch: str, options: tuple[str, ...]) -> tuple[bytes, bytes, str]:
    """PTX, machine code and log of ``text`` for ``arch`` (``sm_90``). Raises :class:`.compilation.Refused`."""
    api = library()
    program = ctypes.c_void_p()
    _good(api.nvrtcCreateProgram(ctypes.byref(program), text.encode(), name.encode(), 0, None, None))
    try:
        flags = [f"--gpu-architecture={arch}", *options]
        raw = (ctypes.c_char_p * len(flags))(*(f.encode() for f in flags))
        code = api.nvrtcCompileProgram(program, len(flags), raw)
        log = _read(api.nvrtcGetProgramLogSize, api.nvrtcGetProgramLog, program).rstrip(b"\0").decode(errors="replace")
        if code:
            raise Refused(log or api.nvrtcGetErrorString(code).decode())
        ptx = _read(api.nvrtcGetPTXSize, api.nvrtcGetPTX, program).rstrip(b"\0")
        return ptx, _read(api.nvrtcGetCUBINSize, api.nvrtcGetCUBIN, program), log.strip()
    finally:
        api.nvrtcDestroyProgram(ctypes.byref(program))


def _read(size_of: Any, read: Any, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    _good(size_of(program, ctypes.byref(size)))
    data = ctypes.create_string_buffer(size.value)
    _good(read(program, data))
    return data.raw


def _good(code: int) -> None:
    if code:
        raise InternalError(f"NVRTC: {library().nvrtcGetErrorString(code).decode()}")
