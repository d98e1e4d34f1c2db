"""What the compiler knows of a device. A profile is data: ``profiles.toml``, or an entry point's."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Literal, cast

from ..errors import UnknownTargetError

Schedule = Literal["cpu", "gpu"]


@dataclass(frozen=True, slots=True)
class Target:
    """A device, as far as code generation cares.

    ``lanes`` is how many threads run in lock step (0: none). ``native`` names the dtypes with arithmetic of their own;
    others are emulated in a wider type unless ``absent`` lists them. Sizes are bytes.
    """

    name: str
    vendor: str
    schedule: Schedule
    arch: str = ""
    lanes: int = 0
    local_bytes: int = 32768
    private_bytes: int = 4 << 20
    """Stored tiles of a program of the CPU schedule: they lie on the stack of its thread, usually 8 MiB."""
    max_threads: int = 256
    max_grid: tuple[int, int, int] = (2**31 - 1, 65535, 65535)
    native: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()
    features: frozenset[str] = frozenset()
    vector_bytes: int = 16
    """Width of a vector register, for the loops of the CPU schedule."""
    dot_vector_bytes: int = 0
    """Width of the vectors that accumulate a dot product, where it differs from ``vector_bytes``; 64 tells of 32 registers."""
    l1_bytes: int = 32768
    l2_bytes: int = 262144
    units: int = 1
    """Independent cores or multiprocessors."""

    def has(self, feature: str) -> bool:
        return feature in self.features


def from_table(name: str, table: dict[str, object]) -> Target:
    """A profile from the keys of a TOML table; lists become sets or tuples."""
    fields: dict[str, object] = {"name": name, **table}
    for key in ("native", "absent", "features"):
        if key in fields:
            fields[key] = frozenset(cast(list[str], fields[key]))
    if "max_grid" in fields:
        fields["max_grid"] = tuple(cast(list[int], fields["max_grid"]))
    return Target(**fields)  # type: ignore[arg-type]


@cache
def profiles() -> dict[str, Target]:
    """Every known profile by name: ours, then those that installed packages add."""
    from importlib.metadata import entry_points  # costs more than the rest of an import of portkernel

    text = Path(__file__).with_name("profiles.toml").read_text(encoding="utf-8")
    found = {name: from_table(name, table) for name, table in tomllib.loads(text).items()}
    for entry in entry_points(group="portkernel.targets"):
        for target in entry.load()():
            found[target.name] = target
    return found


def find(name: str) -> Target:
    """The profile called ``name``. Raises :class:`~portkernel.errors.UnknownTargetError`."""
    try:
        return profiles()[name]
    except KeyError:
        known = ", ".join(profiles())
        raise UnknownTargetError(
            f"target: expected a known profile, got {name!r}", hint=f"the profiles are {known}"
        ) from None


def variant(target: Target, **changes: object) -> Target:
    """``target`` with facts that were read off the device at hand."""
    return replace(target, **changes)  # type: ignore[arg-type]
