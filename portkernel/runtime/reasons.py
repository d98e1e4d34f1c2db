"""The route of a call as an answer: which backend takes it and why, and why each of the others does not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .. import config, targets
from ..backends import names as backend_names
from ..errors import NoDeviceError, PortkernelError, UnknownTargetError
from ..targets import Target
from . import driver as drivers
from .arguments import HOST, ArrayRef, look
from .driver import Device, Driver
from .inspection import DEFAULT_TARGETS
from .programs import target_for
from .route import REFERENCE, choose, reference_reaches


@dataclass(frozen=True, slots=True)
class Choice:
    """A backend, the device and the target to emit for; ``rejected`` says of each other backend why not."""

    backend: str
    device: str
    target: Target
    reason: str
    rejected: tuple[tuple[str, str], ...]
    is_forced: bool
    has_reference: bool
    """Whether the reference reaches the arrays, and so may stand in."""


def choice_of(
    operator: str, args: Sequence[Any], backend: str | None, device: str | None, settings: config.Config
) -> Choice:
    """Where a launch on the arrays among ``args`` goes. Raises what :func:`portkernel.runtime.route.choose` raises."""
    refs: dict[str, ArrayRef] = {}
    for i, value in enumerate(args):
        ref = look(value, f"{operator}(): argument {i}")
        if ref is not None:
            refs[str(i)] = ref
    driver, found = choose(operator, refs, backend, device, settings)
    memory = next((ref.device for ref in refs.values()), HOST)
    is_forced = any((backend, device, settings.backend, settings.device))
    named = "another was named" if is_forced else ""
    return Choice(
        driver.name,
        found.name,
        target_for(driver, found, settings),
        _reason(driver, found, memory, backend or device, settings.backend or settings.device),
        tuple((b, why_not(b, driver.name, memory, named)) for b in backend_names() if b != driver.name),
        is_forced,
        reference_reaches([*refs.values()]),
    )


def _reason(driver: Driver, device: Device, memory: str, named: str | None, setting: str | None) -> str:
    if named:
        return f"the call names {named}"
    if setting:
        return f"the settings name {setting}"
    if device.memory == memory == HOST and driver.name == REFERENCE:
        return "the arrays are in host memory, and no OpenCL device is here"
    if device.memory == memory:
        return (
            f"the arrays are on {memory}, which the device reads in place; compiled code is faster than the reference"
        )
    return f"the arrays are on {memory}, from where they are copied to the device and back"


def why_not(backend: str, taken: str, memory: str, named: str = "") -> str:
    """Why a launch on arrays in ``memory`` went to ``taken`` and not to ``backend``; ``named`` if nothing else forbids it."""
    try:
        devices = drivers.find(backend).devices()
    except PortkernelError as e:
        return e.message
    if not devices:
        return "no device of its kind is here"
    if not any(d.memory == memory for d in devices):
        return f"its devices do not reach arrays on {memory} without a copy"
    if named:
        return named
    return "the reference interprets the kernel: slower" if backend == REFERENCE else f"{taken} comes first on {memory}"


def default_backend() -> str:
    """The backend that arrays in host memory go to here."""
    driver, _ = choose("supports", {}, None, None, config.get())
    return driver.name


def profile_for(backend: str, device: str | None, where: str = "") -> Target:
    """The target of ``device``: a profile's name, or part of a device's; without it the backend's device here, if any.

    ``where`` begins the message of the :class:`~portkernel.errors.NoDeviceError` for a device that is neither.
    """
    hint = ""
    if device is not None:
        try:
            return targets.find(device)
        except UnknownTargetError as e:
            hint = e.hint
    settings = config.get()
    try:
        driver = drivers.find(backend)
        return target_for(driver, driver.device(device, None), settings)
    except PortkernelError as e:
        if device is not None:
            message = f"{where}: device: expected a device of {backend} here, or a target, got {device!r}"
            raise NoDeviceError(message, hint=hint) from e
        return targets.find(DEFAULT_TARGETS.get(backend, DEFAULT_TARGETS["opencl"]))
