"""The compiler's targets, made of the profiles: what a profile does not know becomes a cautious default, and says so."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, cast

from ..errors import ProfileError, UnknownTargetError
from . import read
from .facts import Profile
from .target import Target

DEFAULTS: dict[str, Any] = {
    "schedule": "gpu",
    "lanes": 0,
    "local_bytes": 32768,
    "max_threads": 256,
    "max_grid": (65535, 65535, 65535),
}
"""What stands for a fact that is not known: what every GPU that we know of has."""
ALWAYS = frozenset(
    {"float32", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool"}
)  # fmt: skip
"""Dtypes taken for native where a profile does not speak of them: no kernel goes far without their arithmetic."""
_SHARED = ("arch", "lanes", "local_bytes", "max_threads", "max_grid", "units", "vector_bytes")


def names() -> tuple[str, ...]:
    """Every known profile: ours, then those that installed packages add."""
    return (*read.names(), *(name for name in _installed() if name not in read.names()))


def resolve(name: str) -> str:
    """The full name for ``name``: itself, or the one profile that begins with ``name`` and a dash.

    Raises :class:`~portkernel.errors.UnknownTargetError`.
    """
    if name in read.names():  # the entry points cost more than the file
        return name
    known = names()
    if name in known:
        return name
    import difflib  # a mistake is rare: not worth its import

    begun = [full for full in known if full.startswith(f"{name}-")]
    if len(begun) == 1:
        return begun[0]
    near = begun or difflib.get_close_matches(name, known, 4, 0.4)
    hint = "the profiles are " + ", ".join(known) if not near else "did you mean " + ", ".join(near) + "?"
    raise UnknownTargetError(f"target: expected a known profile, got {name!r}", hint=hint)


@cache
def find(name: str) -> Target:
    """The target called ``name``. Raises :class:`~portkernel.errors.UnknownTargetError`."""
    full = resolve(name)
    return target_of(read.record(full)) if full in read.names() else _installed()[full]


def profiles() -> dict[str, Target]:
    """Every known target by name: ours, then those that installed packages add."""
    return {name: find(name) for name in names()}


def records() -> dict[str, Profile]:
    """Every profile of ours by name."""
    return {name: read.record(name) for name in read.names()}


def record(name: str) -> Profile:
    """The profile called ``name``, with all facts and sources. Raises UnknownTargetError."""
    full = resolve(name)
    if full not in read.names():
        raise UnknownTargetError(
            f"target: expected a profile with facts and sources, got {full!r}",
            hint="it comes from another package, which gives no more than a target",
        )
    return read.record(full)


def chip(profile: Profile) -> Profile:
    """The profile of what a kernel runs on: of a system its first chip, else itself."""
    return read.record(profile.chips[0]) if profile.kind == "system" else profile


def target_of(profile: Profile) -> Target:
    """What the compiler may take for granted of a device."""
    source = chip(profile)
    fields: dict[str, Any] = dict(source.compiler)
    for name in _SHARED:
        value = source.value(name)
        if value is not None:
            fields[name] = value
    assumed = {name for name in DEFAULTS if name not in fields}
    for name in assumed:
        fields[name] = DEFAULTS[name]
    native, absent, unknown = _dtypes(source)
    known: Mapping[str, Any] = fields
    return Target(
        name=profile.name, vendor=profile.vendor, native=native, absent=absent, assumed=frozenset(assumed | unknown), **known
    )  # fmt: skip


def _dtypes(profile: Profile) -> tuple[frozenset[str], frozenset[str], frozenset[str]]:
    """The dtypes with arithmetic, those that must be refused, and those that nothing is known of.

    One that is computed as something else silently is refused: a kernel would not get what it asks for.
    """
    stated = {d.dtype: d.state for d in profile.dtypes if d.usage == "arithmetic"}
    native = {name for name, state in stated.items() if state in ("native", "slow")}
    native |= {
        d.dtype
        for d in profile.dtypes
        if d.usage == "matrix" and d.state in ("native", "slow") and d.dtype not in stated
    }
    native &= read.KERNEL_DTYPES
    refused = {name for name, state in stated.items() if state in ("absent", "degraded")}
    emulated = {name for name, state in stated.items() if state == "emulated" and name in ALWAYS}
    unknown = {name for name in (*ALWAYS, "float64") if stated.get(name, "unknown") == "unknown"}
    return frozenset(native | emulated | (unknown & ALWAYS)), frozenset(refused), frozenset(unknown)


@cache
def _installed() -> dict[str, Target]:
    """Targets that other packages add through the entry-point group ``portkernel.targets``."""
    from importlib.metadata import entry_points  # costs more than the rest of an import of portkernel

    found: dict[str, Target] = {}
    for entry in entry_points(group="portkernel.targets"):
        made = entry.load()()
        if not isinstance(made, Iterable):
            raise ProfileError(f"entry point {entry.name}: expected targets, got {type(made).__name__}")
        for target in cast(Iterable[Target], made):
            found[target.name] = target
    return found
