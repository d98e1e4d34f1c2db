"""A profile as rows of text, as plain data, and beside another."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

from .facts import Origin, Profile
from .profile import find


def plain(value: Any) -> Any:
    """Dataclasses as dictionaries, sets as sorted lists: what JSON takes."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, (tuple, list)):
        return [plain(v) for v in value]
    return value


def _evidence(source: Origin | None) -> str:
    return source.evidence if source else ""


def _source(source: Origin | None, note: str = "") -> str:
    return "; ".join(part for part in (note, source.text if source else "") if part)


def amount(name: str, value: object) -> str:
    """A fact's value with its unit."""
    if name == "bandwidth" and isinstance(value, int):
        return f"{value / 1e9:g} GB/s"
    if name == "memory_bytes" and isinstance(value, int):
        return f"{value / 1e9:g} GB"
    if isinstance(value, tuple):
        return " × ".join(map(str, value))
    return str(value)


def fact_rows(profile: Profile) -> Iterator[tuple[str, ...]]:
    for name, fact in profile.facts.items():
        value = "unknown" if fact.value is None else amount(name, fact.value)
        yield name, value, _evidence(fact.source), _source(fact.source, fact.note or fact.why)


def dtype_rows(profile: Profile) -> Iterator[tuple[str, ...]]:
    for fact in profile.dtypes:
        yield fact.dtype, fact.usage, fact.state, _evidence(fact.source), _source(fact.source, fact.note)


def peak_rows(profile: Profile) -> Iterator[tuple[str, ...]]:
    for peak in profile.peaks:
        value = f"{peak.value:g} {peak.unit}" + (" sparse" if peak.sparsity == "sparse" else "")
        yield peak.dtype, peak.usage, value, peak.source.evidence, _source(peak.source, peak.note)


def route_rows(profile: Profile) -> Iterator[tuple[str, ...]]:
    for route in profile.routes:
        compiler = route.compiler or (f"fork {route.fork}" if route.fork else "")
        compiler += f" (language {route.language})" if route.language else ""
        yield route.name, route.state, route.backend, compiler.strip(), route.how, _source(route.source)


def claim_rows(profile: Profile) -> Iterator[tuple[str, ...]]:
    for claim in profile.claims:
        yield claim.text, claim.source.text, claim.check


def compiler_rows(name: str) -> Iterator[tuple[str, ...]]:
    """The fields of the target, those that stand for something unknown marked."""
    target = find(name)
    for field in dataclasses.fields(target):
        value = getattr(target, field.name)
        if field.name in ("name", "vendor", "assumed"):
            continue
        shown = ", ".join(sorted(value)) if isinstance(value, frozenset) else amount(field.name, value)
        mark = "assumed" if field.name in target.assumed else ""
        if field.name == "native" and (unknown := sorted(target.assumed & target.native)):
            mark = f"assumed: {', '.join(unknown)}"
        yield field.name, shown, mark


def difference(a: Profile, b: Profile) -> tuple[tuple[str, str, str], ...]:
    """What the two say differently: (what, of ``a``, of ``b``)."""
    left, right = dict(_statements(a)), dict(_statements(b))
    names = dict.fromkeys((*left, *right))
    return tuple((n, left.get(n, "-"), right.get(n, "-")) for n in names if left.get(n, "-") != right.get(n, "-"))


def _statements(profile: Profile) -> Iterator[tuple[str, str]]:
    yield "vendor", profile.vendor
    for name, fact in profile.facts.items():
        yield name, "unknown" if fact.value is None else amount(name, fact.value)
    for dtype in profile.dtypes:
        yield f"{dtype.dtype} {dtype.usage}", dtype.state
    for peak in profile.peaks:
        yield f"peak {peak.dtype} {peak.usage} {peak.sparsity}", f"{peak.value:g} {peak.unit}"
    for route in profile.routes:
        detail = " ".join(part for part in (route.compiler, route.fork, route.language) if part)
        yield f"route {route.name}", route.state + (f" ({detail})" if detail else "")
