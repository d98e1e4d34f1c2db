"""Where measured block sizes come in: under ``PORTKERNEL_TUNE`` a launch asks the chooser before the analytic model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .. import config
from ..dtypes import Scalar
from ..targets import Target
from .binding import Typed
from .driver import Device, Driver
from .plan import GridLike
from .specs import Options

if TYPE_CHECKING:
    from ..frontend import KernelFn


@dataclass(frozen=True, slots=True)
class Candidate:
    """Values for a kernel's compile-time parameters, and what its compiler is told."""

    constants: dict[str, object]
    options: Options


@dataclass(frozen=True, slots=True)
class Request:
    """A launch that wants its sizes chosen. ``candidates`` may still hold ``pk.auto`` constants; the first is the default."""

    kernel: KernelFn
    typed: Typed
    classes: dict[str, tuple[int, ...]]
    """The arguments' shapes, sizes rounded up to the class that shares a choice."""
    scalars: tuple[tuple[str, Scalar], ...]
    """Those scalar arguments that the kernel's ``key`` names."""
    candidates: tuple[Candidate, ...]
    driver: Driver
    device: Device
    target: Target
    grid: GridLike
    settings: config.Config


Chooser = Callable[[Request], Candidate | None]
_loaders: list[Callable[[], Chooser]] = []


def install(load: Callable[[], Chooser]) -> None:
    """Make ``load()`` the chooser of every launch that is to be tuned; it is called when the first one is."""
    _loaders[:] = [load]


def choose(request: Request) -> Candidate | None:
    """The measured choice; None where there is none, and the analytic one stands."""
    return _loaders[0]()(request) if _loaders else None
