"""What the runtime asks of a driver: the part of a backend that touches a device package.

A driver is one module with a class ``Driver``; :func:`find` imports it on first use. A new one is at most 150 lines.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache
from importlib import import_module
from typing import Any, Protocol, cast

from ..backends import Source, installed
from ..dtypes import Scalar
from ..errors import DeviceAssertionError, UnknownBackendError
from ..ir import Func
from ..loc import UNKNOWN
from ..targets import Target
from .arguments import ArrayRef

Grid = tuple[int, int, int]
Value = ArrayRef | Scalar
Launch = Callable[[Grid, Sequence[Scalar], Sequence[Any]], None]
"""``launch(grid, values, owners)``. For each of ``Source.params`` there is one value and one owner: of an array, the
address of element (0, …, 0) (of a pyopencl array: its offset in bytes) and the user's own object; of a scalar, its value
and None."""


@dataclass(frozen=True, slots=True)
class Device:
    """A device of one driver. ``key`` identifies it in this process, ``memory`` says whose arrays it takes in place."""

    backend: str
    name: str
    key: str
    memory: str
    handle: Any = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, slots=True)
class Binary:
    """A compiled kernel. ``kind`` is ``ptx``, ``cubin``, ``amdgcn``, ``hsaco``, ``mubin`` or ``opencl binary``; ``log`` is the compiler's."""

    kind: str
    data: bytes
    log: str = ""
    metadata: dict[str, object] = field(default_factory=dict)


class Loaded(Protocol):
    """A kernel on a device, ready to launch."""

    def prepare(self, args: Sequence[Value]) -> Launch:
        """A launcher for arguments of these shapes and strides; only addresses and scalar values may differ later.

        ``args`` come in the order of ``Source.params``. The launcher returns when host arrays hold the results;
        it raises :class:`~portkernel.errors.DeviceAssertionError` for a failed ``pk.device_assert``.
        """
        ...


class Driver(Protocol):
    """One per backend. Constructing it raises MissingDependencyError where its package is absent."""

    name: str

    def device(self, wanted: str | None, like: ArrayRef | None) -> Device:
        """The device that ``wanted`` names (part of a name, an index, ``platform:index``), else the one where ``like``
        lies, else the default. Raises NoDeviceError or DeviceMismatchError."""
        ...

    def devices(self) -> Sequence[Device]:
        """Every device; none is not an error here."""
        ...

    def target(self, device: Device) -> Target:
        """The profile to generate code for, with the facts read off the device."""
        ...

    def compile(self, source: Source, func: Func, device: Device) -> Loaded:
        """Raises CompilerError, or CompilerCrashError where the compiler died or hung."""
        ...

    def binary(self, source: Source) -> Binary:
        """Compile without a device, for ``source.target``."""
        ...


_DRIVERS = {
    "numpy": "portkernel.runtime.numpy",
    "opencl": "portkernel.runtime.opencl",
    "cuda": "portkernel.runtime.cuda",
    "triton": "portkernel.runtime.triton",
    "hip": "portkernel.runtime.hip",
    "musa": "portkernel.runtime.musa",
}


@cache
def find(name: str) -> Driver:
    """The driver of backend ``name``; other packages add theirs as entry points ``portkernel.drivers``."""
    if name in _DRIVERS:
        return cast(Driver, import_module(_DRIVERS[name]).Driver())
    for entry in installed("portkernel.drivers"):
        if entry.name == name:
            return cast(Driver, entry.load()())
    raise UnknownBackendError(
        f"backend: expected a backend with a driver, got {name!r}", hint="the backends are " + ", ".join(_DRIVERS)
    )


def raise_assertion(source: Source, code: int) -> None:
    """Raise what the nonzero status word ``code`` of a launch stands for; 0 stands for nothing."""
    if not code:
        return
    message, loc = source.asserts[code - 1] if 0 < code <= len(source.asserts) else (f"status {code}", UNKNOWN)
    raise DeviceAssertionError(f"device_assert(): {message or 'the condition is false'}", loc=loc)
