"""The columns of the report: what this machine has for each backend, and what can be compiled for without a device."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from .. import backends, targets
from ..errors import PortkernelError
from ..runtime import survey
from ..runtime.identity import COMPILED_FOR, Identity, compiler_version, identities
from .model import Column


@dataclass(frozen=True, slots=True)
class Found:
    """What the driver of a backend found, what is missing and what to do about it; ``compiler`` is a version."""

    identities: tuple[Identity, ...] = ()
    error: str = ""
    hint: str = ""
    compiler: str = ""

    @property
    def devices(self) -> tuple[str, ...]:
        """What executes natively."""
        return tuple(i.label for i in self.identities if not i.interpreter)

    @property
    def interpreters(self) -> tuple[str, ...]:
        return tuple(i.label for i in self.identities if i.interpreter)


def look(backend: str) -> Found:
    """Ask the driver of ``backend``, in this process: see :func:`.pool.ask`."""
    found = Found(compiler=compiler_version(backend))
    try:
        found = replace(found, identities=identities(backend))
    except PortkernelError as error:
        found = replace(found, error=error.message, hint=error.hint)
    except Exception as error:  # a broken installation raises what it likes
        found = replace(found, error=f"{type(error).__name__}: {error}")
    said = survey.examine(backend, found.devices, found.interpreters, found.error, found.hint)
    return replace(found, error=said.missing, hint=said.cure)


def columns(found: Mapping[str, Found]) -> tuple[Column, ...]:
    """A column for each device and interpreter of each backend, and for each architecture that its compiler is tried on."""
    made: list[Column] = []
    for backend in backends.names():
        here = found.get(backend, Found())
        for i in here.identities:
            kind = "interpreter" if i.interpreter else "device"
            made.append(Column(f"{backend}/{i.place}", backend, kind, i.wanted, i.name, "", "", i.driver, i.compiler))
        for target in COMPILED_FOR.get(backend, ()):
            arch, named = targets.find(target).arch, f"{backend} {here.compiler}".strip()
            made.append(Column(f"{backend}/{arch}", backend, "compiler", "", "", target, arch, "", named))
    return tuple(made)


def missing(found: Mapping[str, Found]) -> dict[str, dict[str, str]]:
    """The backends that have no device here: why, and what would give them one."""
    return {name: {"why": here.error, "hint": here.hint} for name, here in found.items() if not here.devices}
