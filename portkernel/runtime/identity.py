"""What a device and its compiler call themselves: the names and versions that evidence is filed under."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version

from ..errors import MissingDependencyError
from . import driver as drivers
from . import offload
from .driver import Device

COMPILED_FOR: dict[str, tuple[str, ...]] = {
    "triton": ("nvidia-h100", "amd-mi300x", "nvidia-a100"),
    "cuda": ("nvidia-h100", "nvidia-a100"),
    "hip": ("amd-mi300x",),
}
"""The profiles that a compiler of a backend is tried on where their devices are not, the most telling first."""


@dataclass(frozen=True, slots=True)
class Identity:
    """``place`` is the same on every machine with such a device; ``wanted`` is what ``device=`` of a launch takes."""

    place: str
    wanted: str
    name: str
    driver: str
    compiler: str
    interpreter: bool = False

    @property
    def label(self) -> str:
        """``pocl: pthread-AMD EPYC``: the name, after the place where it does not tell it."""
        return self.name if self.place.partition(":")[0] in _slug(self.name) else f"{self.place}: {self.name}"


def identities(backend: str) -> tuple[Identity, ...]:
    """Every device of a backend. Raises what its driver raises where its packages are absent."""
    found: list[Identity] = []
    for index, device in enumerate(drivers.find(backend).devices()):
        made = _identify(device, index)
        twins = sum(other.place.partition(":")[0] == made.place for other in found)
        if twins:  # a second device of the kind
            made = Identity(f"{made.place}:{twins}", made.wanted, made.name, made.driver, made.compiler)
        found.append(made)
    return tuple(found)


def identify(device: Device) -> Identity:
    """What ``device`` calls itself; ``wanted`` is empty where its driver does not list it."""
    keys = [d.key for d in drivers.find(device.backend).devices()]
    if device.key in keys:
        return _identify(device, keys.index(device.key))
    return replace(_identify(device, 0), wanted="")


def _identify(device: Device, index: int) -> Identity:
    match device.backend:
        case "numpy":
            return Identity("numpy", "", device.name, f"numpy {_version('numpy')}", "")
        case "opencl":
            handle = device.handle.device
            said = f"{handle.platform.name} {handle.platform.version}".strip()
            place = next((word for word in ("pocl", "intel") if word in said.lower()), "") or _slug(
                handle.platform.name
            )
            return Identity(place, str(index), device.name.strip(), str(handle.driver_version), said)
        case "triton":
            named = f"triton {_version('triton')}"
            if device.key.endswith(":interpreter"):
                return Identity("interpreter", "interpreter", device.name, named, named, True)
            return Identity(_slug(device.name), device.memory, device.name, f"torch {_version('torch')}", named)
        case "cuda":
            nvrtc = f"nvrtc {compiler_version('cuda')}"
            return Identity(_slug(device.name), str(index), device.name, _cuda_driver(), nvrtc)
        case _:  # a driver that another package adds
            return Identity(_slug(device.name), str(index), device.name, "", "")


def compiler_version(backend: str) -> str:
    """The version of the compiler that compiles without a device; empty where it is absent."""
    match backend:
        case "triton":
            return _version("triton")
        case "cuda":
            return next((v for name in ("nvidia-cuda-nvrtc", "nvidia-cuda-nvrtc-cu12") if (v := _version(name))), "")
        case "hip" | "musa":
            driver = drivers.find(backend)
            assert isinstance(driver, offload.OffloadDriver)
            try:
                return offload.version(driver.compiler())
            except MissingDependencyError:
                return ""
        case _:
            return ""


def _cuda_driver() -> str:
    from .cuda_kernel import package

    number = int(package().cuda.runtime.driverGetVersion())
    return f"{number // 1000}.{number % 1000 // 10}"


def installed(package: str) -> str | None:
    """The version of an installed package; None where it is absent."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _version(package: str) -> str:
    return installed(package) or ""


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
