"""The backends by name. A backend is imported when it is first asked for."""

from __future__ import annotations

from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, cast

from ..errors import UnknownBackendError
from .base import Backend, Param, Source, Support

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

BUILTIN: dict[str, str] = {
    "numpy": "portkernel.backends.numpy:NumpyBackend",
    "opencl": "portkernel.backends.opencl:OpenCLBackend",
    "triton": "portkernel.backends.triton:TritonBackend",
    "cuda": "portkernel.backends.cuda:CudaBackend",
    "hip": "portkernel.backends.hip:HipBackend",
    "musa": "portkernel.backends.musa:MusaBackend",
}
"""Module and class of our own backends. Other packages add theirs as entry points ``portkernel.backends``."""


def names() -> tuple[str, ...]:
    """Every known backend, ours first."""
    ours = list(BUILTIN)
    return (*ours, *sorted({e.name for e in installed("portkernel.backends")} - set(ours)))


@cache
def installed(group: str) -> tuple[EntryPoint, ...]:
    """The entry points that installed packages add to ``group``."""
    from importlib.metadata import entry_points  # costs more than the rest of an import of portkernel

    return tuple(entry_points(group=group))


@cache
def find(name: str) -> Backend:
    """The backend called ``name``. Raises :class:`~portkernel.errors.UnknownBackendError`."""
    place = BUILTIN.get(name)
    if place is not None:
        module, _, attribute = place.partition(":")
        return cast(Backend, getattr(import_module(module), attribute)())
    for entry in installed("portkernel.backends"):
        if entry.name == name:
            return cast(Backend, entry.load()())
    raise UnknownBackendError(
        f"backend: expected a known backend, got {name!r}", hint="the backends are " + ", ".join(names())
    )


__all__ = ["BUILTIN", "Backend", "Param", "Source", "Support", "find", "installed", "names"]
