"""The columns of the report: what this machine has for each backend, and what can be compiled for without a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import PortkernelError
from ..runtime import driver as drivers
from ..runtime.identity import Identity, compiler_version, identities
from .model import Column


@dataclass(frozen=True, slots=True)
class Route:
    """What can be tried with a backend. ``targets`` are (profile, architecture) pairs to compile for."""

    backend: str
    targets: tuple[tuple[str, str], ...] = ()


ROUTES: tuple[Route, ...] = (
    Route("numpy"),
    Route("opencl"),
    Route("triton", (("nvidia-h100", "sm_90"), ("amd-mi300x", "gfx942"), ("nvidia-a100", "sm_80"))),
    Route("cuda", (("nvidia-h100", "sm_90"), ("nvidia-a100", "sm_80"))),
    Route("hip", (("amd-mi300x", "gfx942"),)),
)
"""The first target of a backend is the one that a quick run compiles for."""


@dataclass(frozen=True, slots=True)
class Found:
    """What the driver of a backend found, or why it found nothing and what to do; ``compiler`` is a version."""

    identities: tuple[Identity, ...] = ()
    error: str = ""
    hint: str = ""
    compiler: str = ""

    @property
    def devices(self) -> tuple[str, ...]:
        """The names of what executes natively."""
        return tuple(i.name for i in self.identities if not i.interpreter)

    @property
    def interpreters(self) -> tuple[str, ...]:
        return tuple(i.name for i in self.identities if i.interpreter)


def look(backend: str) -> Found:
    """Ask the driver of ``backend``, in this process: see :func:`.pool.ask`."""
    compiler = compiler_version(backend)
    try:
        here = identities(backend)
        if not here:
            drivers.find(backend).device(None, None)  # says why there is none
        return Found(here, compiler=compiler)
    except PortkernelError as error:
        return Found((), error.message.removeprefix(f"{backend}: "), error.hint, compiler)
    except Exception as error:  # a broken installation raises what it likes
        return Found((), f"{type(error).__name__}: {error}", compiler=compiler)


def columns(found: Mapping[str, Found]) -> tuple[Column, ...]:
    """A column for each device and interpreter, and for each architecture that a backend can compile for."""
    made: list[Column] = []
    for route in ROUTES:
        here = found.get(route.backend, Found())
        for i in here.identities:
            kind = "interpreter" if i.interpreter else "device"
            made.append(
                Column(
                    f"{route.backend}/{i.place}", route.backend, kind, i.wanted, i.name, "", "", i.driver, i.compiler
                )
            )
        for target, arch in route.targets:
            named = f"{route.backend} {here.compiler}".strip()
            made.append(Column(f"{route.backend}/{arch}", route.backend, "compiler", "", "", target, arch, "", named))
    return tuple(made)


def missing(found: Mapping[str, Found]) -> dict[str, dict[str, str]]:
    """The backends that have no device here: why, and what would give them one."""
    return {
        name: {"why": here.error or "no device", "hint": here.hint or "a device with its driver"}
        for name, here in found.items()
        if not here.devices
    }
