"""What is known of a device, fact by fact with its source: the dataclasses behind ``profiles/*.toml``."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["chip", "system", "software"]
Usage = Literal["storage", "arithmetic", "matrix"]
State = Literal["native", "slow", "emulated", "degraded", "absent", "unknown"]
Evidence = Literal["log", "read", "press", "common", "guess"]
RouteState = Literal[
    "native", "upstream", "fork", "claimed", "rename", "driver-seen", "driver-claimed", "plugin", "graph-only",
    "none-found", "unknown",
]  # fmt: skip
Number = int | float
"""What the states of dtypes and of routes mean stands in ``docs/targets.md``."""


@dataclass(frozen=True, slots=True)
class Origin:
    """Where facts come from, and how good that is."""

    name: str
    evidence: Evidence
    text: str


@dataclass(frozen=True, slots=True)
class Fact:
    """One value with its source; a value of None with ``why`` it is not known."""

    value: str | Number | tuple[int, ...] | None
    source: Origin | None = None
    note: str = ""
    why: str = ""


@dataclass(frozen=True, slots=True)
class DTypeFact:
    """What the device does with a dtype in one usage."""

    dtype: str
    usage: Usage
    state: State
    source: Origin | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Peak:
    """A peak rate. ``unit`` is TFLOPS or TOPS."""

    dtype: str
    usage: Usage
    value: float
    unit: Literal["TFLOPS", "TOPS"]
    sparsity: Literal["dense", "sparse"]
    source: Origin
    note: str = ""


@dataclass(frozen=True, slots=True)
class Route:
    """A way for a kernel to reach the device.

    ``backend`` is our backend whose text would go that way, empty where none does. ``language`` is the version of
    Triton's language that the compiler of the route has; ``fork`` the vendor's fork.
    """

    name: str
    state: RouteState
    backend: str = ""
    compiler: str = ""
    fork: str = ""
    language: str = ""
    how: str = ""
    source: Origin | None = None

    @property
    def is_open(self) -> bool:
        """Whether somebody shows or says that a kernel's text gets there."""
        return self.state not in ("graph-only", "none-found", "unknown", "plugin")


@dataclass(frozen=True, slots=True)
class Claim:
    """What the press says, and how one would check it."""

    text: str
    source: Origin
    check: str


@dataclass(frozen=True, slots=True)
class Profile:
    """Everything that is known of a device. ``compiler`` holds what code generation may assume beyond the facts.

    A system (a cluster, a server) has no facts of its own: ``chips`` names the profiles of what its kernels run on.
    Whether anything was ever executed there is not part of a profile: see :mod:`.runs`.
    """

    name: str
    title: str
    vendor: str
    kind: Kind
    chips: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    facts: dict[str, Fact] = field(default_factory=dict)
    compiler: dict[str, object] = field(default_factory=dict)
    dtypes: tuple[DTypeFact, ...] = ()
    peaks: tuple[Peak, ...] = ()
    routes: tuple[Route, ...] = ()
    claims: tuple[Claim, ...] = ()

    def value(self, fact: str) -> object:
        """The value of a fact; None where it is not known."""
        found = self.facts.get(fact)
        return None if found is None else found.value

    def dtype(self, name: str, usage: Usage = "arithmetic") -> DTypeFact:
        """What is known of a dtype in a usage: at least that nothing is."""
        for fact in self.dtypes:
            if (fact.dtype, fact.usage) == (name, usage):
                return fact
        return DTypeFact(name, usage, "unknown")

    def route(self, name: str) -> Route:
        """The route called ``name``; one in state unknown where the profile does not speak of it."""
        return next((r for r in self.routes if r.name == name), Route(name, "unknown"))
