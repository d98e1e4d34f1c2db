"""Where a launch runs: with its arguments, unless the caller says otherwise. Never silently elsewhere."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any

import numpy as np

from .. import config
from ..backends import BUILTIN
from ..backends import names as backend_names
from ..errors import (
    ArgumentTypeError,
    DeviceMismatchError,
    FallbackError,
    ForkError,
    MissingDependencyError,
    NoDeviceError,
    UnknownBackendError,
)
from ..targets import Target
from . import driver as drivers
from .arguments import HOST, ArrayRef, as_array
from .driver import Device, Driver
from .observation import OBSERVED
from .statistics import COUNTERS

REFERENCE = "numpy"
"""The backend that defines what is right, and can do everything."""


def reference_reaches(refs: Sequence[ArrayRef]) -> bool:
    """Whether the reference backend can compute on these arrays where they lie."""
    return all(ref.device == HOST for ref in refs)


@contextmanager
def use(
    *, backend: str | None = None, device: str | None = None, strict: bool | None = None
) -> Iterator[config.Config]:
    """Force a route for the launches inside the ``with`` block, in this thread; what is None stays as it was.

    ``strict`` makes every fallback, and every copy between host and device, a
    :class:`~portkernel.errors.FallbackError`. Raises :class:`~portkernel.errors.UnknownBackendError`, and ArgumentTypeError.

    >>> with use(backend="numpy", strict=True) as settings:
    ...     settings.backend, settings.strict
    ('numpy', True)
    """
    if strict is not None and not isinstance(strict, bool):
        raise ArgumentTypeError(f"use(): strict: expected True or False, got {strict!r}")
    changes: dict[str, object] = {
        "backend": route_name("use()", "backend", backend),
        "device": route_name("use()", "device", device),
        "strict": strict,
    }
    if backend is not None:
        check_backend(backend, "use()")
    with config.override(**{k: v for k, v in changes.items() if v is not None}) as settings:
        yield settings


def on_host(x: Any) -> bool:
    """Whether the elements of the array ``x`` lie in the host's memory, where NumPy's arrays serve the same launches.

    Raises ArgumentTypeError for what is no array.

    >>> import numpy as np
    >>> import portkernel as pk
    >>> pk.on_host(np.zeros(3))
    True
    """
    ref = as_array(x, "on_host(): x")
    if ref is None:
        raise ArgumentTypeError(f"on_host(): x: expected an array, got {type(x).__name__}")
    return ref.device == HOST


def target_of(x: Any, *, backend: str | None = None, device: str | None = None) -> Target:
    """The target of a launch with the array ``x`` under the same options: what host code chooses a kernel by.

    Raises what such a launch raises: ArgumentTypeError, UnknownBackendError, NoDeviceError, MissingDependencyError.

    >>> import numpy as np
    >>> import portkernel as pk
    >>> pk.target_of(np.zeros(3), backend="numpy").name
    'numpy'
    """
    if OBSERVED.target is not None:
        return OBSERVED.target
    settings = config.get()
    if type(x) is np.ndarray:
        found = _TARGETS.get((settings, HOST, backend, device))
        if found is not None:
            return found
    ref = as_array(x, "target_of(): x")
    if ref is None:
        raise ArgumentTypeError(f"target_of(): x: expected an array, got {type(x).__name__}")
    key = (settings, ref.device, backend, device)
    found = _TARGETS.get(key)
    if found is None:
        if len(_TARGETS) >= _MANY:
            _TARGETS.clear()
        from .programs import target_for

        driver, place = choose("target_of", {"x": ref}, backend, device, settings)
        found = _TARGETS[key] = target_for(driver, place, settings)
    return found


_TARGETS: dict[tuple[config.Config, str, str | None, str | None], Target] = {}
"""By settings, memory and options."""
_MANY = 256


def route_name(where: str, option: str, value: object) -> str | None:
    """What ``backend=`` or ``device=`` was given, an index of a device as text. Raises ArgumentTypeError for what is no name."""
    if option == "device" and isinstance(value, int) and not isinstance(value, bool):
        return str(value)
    if value is not None and not isinstance(value, str):
        raise ArgumentTypeError(f"{where}: {option}: expected a name, got {type(value).__name__}")
    return value


def check_backend(name: str, where: str) -> None:
    """Raise :class:`~portkernel.errors.UnknownBackendError` unless there is a backend called ``name``."""
    if name in BUILTIN:  # without the list of those that other packages add, which takes 20 ms to gather
        return
    known = backend_names()
    if name not in known:
        raise UnknownBackendError(
            f"{where}: backend: expected a known backend, got {name!r}", hint="the backends are " + ", ".join(known)
        )


def choose(
    kernel: str, refs: Mapping[str, ArrayRef], backend: str | None, device: str | None, settings: config.Config
) -> tuple[Driver, Device]:
    """The driver and the device for arrays ``refs``; ``backend`` and ``device`` are the launch's own options."""
    first = _same_memory(kernel, refs)
    memory = first.device if first is not None else HOST
    wanted = device if device is not None else settings.device
    named = backend if backend is not None else settings.backend
    if named is not None:
        check_backend(named, f"{kernel}()")
        driver = drivers.find(named)
        found = driver.device(wanted, first)
    elif memory == HOST:
        driver, found = _for_host(kernel, wanted, settings)
    elif memory.startswith("opencl:"):
        driver = drivers.find("opencl")
        found = driver.device(wanted, first)
    else:
        driver = _for_cuda()
        found = driver.device(wanted, first)
    _check_reach(kernel, memory, driver, found, settings)
    return driver, found


def _same_memory(kernel: str, refs: Mapping[str, ArrayRef]) -> ArrayRef | None:
    first: tuple[str, ArrayRef] | None = None
    for name, ref in refs.items():
        if first is None:
            first = (name, ref)
        elif ref.device != first[1].device:
            raise DeviceMismatchError(
                f"{kernel}(): {name}: expected an array on {first[1].device} like {first[0]}, got one on {ref.device}",
                hint="move all arguments to one device first",
            )
    return None if first is None else first[1]


def _for_host(kernel: str, wanted: str | None, settings: config.Config) -> tuple[Driver, Device]:
    """OpenCL on the CPU if there is such a device, otherwise NumPy: a fallback, said once."""
    if wanted == REFERENCE:
        driver = drivers.find(REFERENCE)
        return driver, driver.device(wanted, None)
    try:
        driver = drivers.find("opencl")
        return driver, driver.device(wanted, None)
    except (MissingDependencyError, NoDeviceError) as e:
        if wanted is not None or isinstance(e, ForkError):  # a mistake, and not a machine without OpenCL
            raise
        reason = f"host arrays run on NumPy, slowly, for want of OpenCL: {e.message}"
        if settings.strict:
            raise FallbackError(f"{kernel}(): {reason}", hint=e.hint) from None
        COUNTERS.fallback(reason)
        driver = drivers.find(REFERENCE)
        return driver, driver.device(None, None)


def _for_cuda() -> Driver:
    for package, backend in (("cupy", "cuda"), ("triton", "triton")):
        if find_spec(package) is not None:
            return drivers.find(backend)
    raise MissingDependencyError(
        "expected CuPy or Triton for arrays on a CUDA device, got neither", hint='pip install "portkernel[cuda]"'
    )


def _check_reach(kernel: str, memory: str, driver: Driver, device: Device, settings: config.Config) -> None:
    if device.memory == memory:
        return
    if memory != HOST:
        raise DeviceMismatchError(
            f"{kernel}(): backend: expected a device that reaches the arrays on {memory}, got {device.name} "
            f"({driver.name})",
            hint="leave backend= and device= out, or move the arrays",
        )
    if settings.strict:
        raise FallbackError(
            f"{kernel}(): host arrays would be copied to {device.name} and back",
            hint="move the arrays to the device, or leave strict off",
        )
