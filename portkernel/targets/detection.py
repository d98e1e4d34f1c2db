"""How a vendor's devices show themselves on a machine: the tables of ``devices.toml``."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from .profile import find, records
from .target import Target

_FILE = Path(__file__).with_name("devices.toml")


@dataclass(frozen=True, slots=True)
class Traces:
    """What a vendor's software leaves on a machine.

    ``torch`` is the plug-in of PyTorch's, ``module`` what it adds to the package ``torch``; ``query`` the command that
    lists devices, ``names`` the pattern for ``name`` (and ``driver``) in what it prints; ``compiler`` a program.
    """

    vendor: str
    torch: str = ""
    module: str = ""
    query: tuple[str, ...] = ()
    names: str = ""
    compiler: str = ""


@cache
def traces() -> tuple[Traces, ...]:
    """Every row of the table."""
    data = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return tuple(Traces(**{**row, "query": tuple(row.get("query", ()))}) for row in data["vendor"])


@cache
def _patterns() -> tuple[tuple[re.Pattern[str], str], ...]:
    data = tomllib.loads(_FILE.read_text(encoding="utf-8"))
    return tuple((re.compile(pattern, re.IGNORECASE), target) for target, pattern in data["device"].items())


def target_of_device(name: str) -> str:
    """The profile of a device by the name that its driver gives it; empty where none is known."""
    return next((target for pattern, target in _patterns() if pattern.search(name)), "")


def nearest(name: str, arch: str, default: str) -> Target:
    """The target for a device with the name and the architecture that its driver gives: the profile that knows the name, else
    the first of that architecture, else ``default``."""
    known = target_of_device(name)
    if known and find(known).arch == arch:
        return find(known)
    chips = (p for p in records().values() if p.kind == "chip" and p.value("arch") == arch)
    return find(next((p.name for p in chips), default))
