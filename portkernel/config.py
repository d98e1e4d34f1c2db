"""Settings. The environment is read here, once; everything else asks :func:`get`."""

from __future__ import annotations

import math
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from .errors import ArgumentError

Number = TypeVar("Number", int, float)


@dataclass(frozen=True, slots=True)
class Config:
    """What a process, or a ``with config.override(...)`` block, runs under."""

    backend: str | None = None
    """PORTKERNEL_BACKEND: the backend that every launch takes unless it names one."""
    device: str | None = None
    """PORTKERNEL_DEVICE: part of a device's name, its index, or ``platform:index``."""
    strict: bool = False
    """PORTKERNEL_STRICT: refuse every fallback."""
    cache_dir: Path | None = None
    """PORTKERNEL_CACHE_DIR: compiled kernels. An empty value switches the disk cache off."""
    dump_dir: Path | None = None
    """PORTKERNEL_DUMP: write each stage of each kernel there."""
    override_dir: Path | None = None
    """PORTKERNEL_OVERRIDE: take a stage from there if it has a file of the stage's name."""
    verify: bool = False
    """PORTKERNEL_VERIFY: check the IR after every pass."""
    isolate: bool = True
    """PORTKERNEL_ISOLATE: compile in a child process what has not compiled on that device before."""
    compile_timeout: float = 120.0
    """PORTKERNEL_COMPILE_TIMEOUT: seconds until a compiler counts as hung."""
    opencl_schedule: str | None = None
    """PORTKERNEL_SCHEDULE: ``cpu`` or ``gpu`` in place of what the device suggests."""
    numpy_chunk_bytes: int = 64 << 20
    """PORTKERNEL_NUMPY_CHUNK: bound on the temporaries of the NumPy backend, in bytes."""
    tune: str = "off"
    """PORTKERNEL_TUNE: off, cached, budget:<seconds>s or full."""


def _flag(value: str) -> bool:
    return value.strip().lower() not in ("", "0", "false", "no", "off")


def _path(value: str) -> Path | None:
    return Path(value).expanduser() if value else None


def _positive(name: str, value: str, kind: Callable[[str], Number], default: Number) -> Number:
    if not value:
        return default
    try:
        found = kind(value)
    except ValueError:
        found = None
    if found is None or not 0 < found < math.inf:
        raise ArgumentError(f"PORTKERNEL_{name}: expected a positive number, got {value!r}")
    return found


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str | None:
    if value and value not in known:
        raise ArgumentError(f"PORTKERNEL_{name}: expected {' or '.join(known)}, got {value!r}")
    return value or None


def _default_cache_dir(env: dict[str, str]) -> Path:
    base = env.get("XDG_CACHE_HOME") or env.get("LOCALAPPDATA")
    if base:
        return Path(base) / "portkernel"
    try:
        return Path.home() / ".cache" / "portkernel"
    except RuntimeError:  # no home folder, as in a bare container
        return Path(tempfile.gettempdir()) / f"portkernel-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def from_environment(env: dict[str, str]) -> Config:
    def text(name: str) -> str:
        return env.get(f"PORTKERNEL_{name}", "")

    cache = env.get("PORTKERNEL_CACHE_DIR")
    return Config(
        backend=text("BACKEND") or None,
        device=text("DEVICE") or None,
        strict=_flag(text("STRICT")),
        cache_dir=_default_cache_dir(env) if cache is None else _path(cache),
        dump_dir=_path(text("DUMP")),
        override_dir=_path(text("OVERRIDE")),
        verify=_flag(text("VERIFY")),
        isolate=_flag(text("ISOLATE") or "1"),
        compile_timeout=_positive("COMPILE_TIMEOUT", text("COMPILE_TIMEOUT"), float, 120.0),
        opencl_schedule=_one_of("SCHEDULE", text("SCHEDULE"), ("cpu", "gpu")),
        numpy_chunk_bytes=_positive("NUMPY_CHUNK", text("NUMPY_CHUNK"), int, 64 << 20),
        tune=text("TUNE") or "off",
    )


_current: ContextVar[Config] = ContextVar("portkernel_config", default=from_environment(dict(os.environ)))  # noqa: B039  # a Config is frozen


def get() -> Config:
    """The settings in force."""
    return _current.get()


@contextmanager
def override(**changes: object) -> Iterator[Config]:
    """Change settings for the code inside the ``with`` block, in this thread."""
    token = _current.set(replace(_current.get(), **changes))  # type: ignore[arg-type]  # names are checked by replace
    try:
        yield _current.get()
    finally:
        _current.reset(token)
