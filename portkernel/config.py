"""Settings. The environment is read here, once; everything else asks :func:`get`."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from .errors import SettingError

Number = TypeVar("Number", int, float)
_BUDGET = re.compile(r"budget:(\d+(?:\.\d+)?)s?")


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
    """PORTKERNEL_TUNE: how block sizes are chosen. ``off``: analytically; ``cached``: as stored by earlier measurements,
    else analytically; ``budget:5s``: measured for five seconds where nothing is stored; ``full``: all candidates."""
    tune_dir: Path | None = None
    """PORTKERNEL_TUNE_DIR: the stored choices; by default the folder ``tuned`` of the cache. None keeps them in memory."""

    def __post_init__(self) -> None:
        """Raises :class:`~portkernel.errors.SettingError` for a value that would be ignored, or fail far from here. Folders may
        be given as text."""
        for place in ("cache_dir", "dump_dir", "override_dir", "tune_dir"):
            given = getattr(self, place)
            if given is not None and not isinstance(given, Path):
                object.__setattr__(self, place, _path(os.fspath(given)))
        if self.tune not in ("off", "cached", "full") and not _BUDGET.fullmatch(self.tune):
            raise SettingError(
                f"PORTKERNEL_TUNE: expected off, cached, budget:<seconds>s or full, got {self.tune!r}",
                hint="budget:5s measures each kernel and shape for five seconds, once",
            )
        if self.opencl_schedule not in (None, "cpu", "gpu"):
            raise SettingError(f"PORTKERNEL_SCHEDULE: expected cpu or gpu, got {self.opencl_schedule!r}")
        for name, number in (("COMPILE_TIMEOUT", self.compile_timeout), ("NUMPY_CHUNK", self.numpy_chunk_bytes)):
            if not 0 < number < math.inf:
                raise SettingError(f"PORTKERNEL_{name}: expected a positive number, got {str(number)!r}")
        for name, folder in (("CACHE_DIR", self.cache_dir), ("DUMP", self.dump_dir), ("OVERRIDE", self.override_dir)):
            if folder is not None and folder.is_file():
                raise SettingError(f"PORTKERNEL_{name}: expected a folder, got the file {str(folder)!r}")
        if self.override_dir is not None and not self.override_dir.is_dir():
            raise SettingError(f"PORTKERNEL_OVERRIDE: expected a folder, got {str(self.override_dir)!r}, which is none")

    @property
    def tune_seconds(self) -> float | None:
        """The time that measuring a kernel may take: 0 where nothing is measured, None where there is no limit."""
        budget = _BUDGET.fullmatch(self.tune)
        return float(budget[1]) if budget else None if self.tune == "full" else 0.0


def _flag(value: str) -> bool:
    return value.strip().lower() not in ("", "0", "false", "no", "off")


def _path(value: str) -> Path | None:
    return Path(value).expanduser() if value else None


def _number(name: str, value: str, kind: Callable[[str], Number], default: Number) -> Number:
    try:
        return kind(value) if value else default
    except ValueError:
        raise SettingError(f"PORTKERNEL_{name}: expected a number, got {value!r}") from None


def _default_cache_dir(env: dict[str, str]) -> Path:
    base = env.get("XDG_CACHE_HOME") or env.get("LOCALAPPDATA")
    if base:
        return Path(base) / "portkernel"
    try:
        return Path.home() / ".cache" / "portkernel"
    except RuntimeError:  # no home folder, as in a bare container
        import tempfile  # with which come random numbers and three ways to compress

        return Path(tempfile.gettempdir()) / f"portkernel-{os.getuid() if hasattr(os, 'getuid') else 'user'}"


def from_environment(env: dict[str, str]) -> Config:
    """The settings that ``env`` asks for. Raises :class:`~portkernel.errors.SettingError`."""

    def text(name: str) -> str:
        return env.get(f"PORTKERNEL_{name}", "")

    cache = env.get("PORTKERNEL_CACHE_DIR")
    cache_dir = _default_cache_dir(env) if cache is None else _path(cache)
    return Config(
        backend=text("BACKEND") or None,
        device=text("DEVICE") or None,
        strict=_flag(text("STRICT")),
        cache_dir=cache_dir,
        dump_dir=_path(text("DUMP")),
        override_dir=_path(text("OVERRIDE")),
        verify=_flag(text("VERIFY")),
        isolate=_flag(text("ISOLATE") or "1"),
        compile_timeout=_number("COMPILE_TIMEOUT", text("COMPILE_TIMEOUT"), float, 120.0),
        opencl_schedule=text("SCHEDULE") or None,
        numpy_chunk_bytes=_number("NUMPY_CHUNK", text("NUMPY_CHUNK"), int, 64 << 20),
        tune=text("TUNE") or "off",
        tune_dir=_path(text("TUNE_DIR")) or (cache_dir / "tuned" if cache_dir is not None else None),
    )


_current: ContextVar[Config] = ContextVar("portkernel_config", default=from_environment(dict(os.environ)))  # noqa: B039  # a Config is frozen


_MANY = 256
_same: dict[Config, Config] = {}
"""Equal settings are one object, so that what was compiled under some is found by identity when they are in force again."""


def get() -> Config:
    """The settings in force."""
    return _current.get()


@contextmanager
def override(**changes: object) -> Iterator[Config]:
    """Change settings for the code inside the ``with`` block, in this thread.

    Raises :class:`~portkernel.errors.SettingError` for a value that a setting does not take.
    """
    made = replace(_current.get(), **changes)  # type: ignore[arg-type]  # names are checked by replace
    token = _current.set(_same.setdefault(made, made) if len(_same) < _MANY else _same.get(made, made))
    try:
        yield _current.get()
    finally:
        _current.reset(token)
