"""Reads ``profiles/*.toml``. What the reader does not know, it refuses, with the file and the key."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, NoReturn, get_args

from ..dtypes import BY_NAME
from ..errors import ProfileError
from .facts import (
    Claim,
    DTypeFact,
    Evidence,
    Fact,
    Kind,
    Origin,
    Peak,
    Profile,
    Route,
    RouteState,
    State,
    Usage,
)

FOLDER = Path(__file__).with_name("profiles")
SOURCES = Path(__file__).with_name("sources.toml")

FACTS: dict[str, type] = {
    "arch": str, "lanes": int, "local_bytes": int, "max_threads": int, "max_grid": list, "max_grid_product": int,
    "max_warps": int, "units": int, "vector_bytes": int, "memory_bytes": int, "memory_kind": str, "bandwidth": int,
    "power_watts": int,
}  # fmt: skip
"""The facts that a profile can state, with the type of their value. ``bandwidth`` is bytes a second."""
COMPILER: dict[str, type] = {
    "schedule": str, "features": list, "lanes": int, "local_bytes": int, "private_bytes": int, "max_threads": int,
    "max_grid": list, "vector_bytes": int, "dot_vector_bytes": int, "l1_bytes": int, "l2_bytes": int,
}  # fmt: skip
OTHER_DTYPES = frozenset({"tfloat32", "int4", "float4_e2m1fn", "float8_e4m3fnuz", "float8_e5m2fnuz"})
"""Dtypes that devices have and the kernel language has not."""
KERNEL_DTYPES = frozenset(BY_NAME)
ROUTES = ("cuda", "cuda-renamed", "hip", "opencl", "triton", "torch")

_RECORDED = frozenset({"executed", "ran", "tested", "verified"})


class _Table:
    """A TOML table that is taken apart key by key: what is left at the end is an error."""

    def __init__(self, file: str, where: str, data: object) -> None:
        self.file, self.where = file, where
        if not isinstance(data, Mapping):
            self.fail(f"expected a table, got {type(data).__name__}")
        self.left: dict[str, Any] = dict(data)

    def fail(self, what: str, key: str = "") -> NoReturn:
        place = ".".join(p for p in (self.where, key) if p)
        raise ProfileError(f"{self.file}: {place or 'the file'}: {what}", hint="docs/targets.md lists the keys")

    def take(self, key: str, kind: type, default: Any = None, choices: tuple[str, ...] = ()) -> Any:
        """The value of ``key``. Without a default it must be there."""
        if key not in self.left:
            if default is None:
                self.fail("expected a value, got none", key)
            return default
        value = self.left.pop(key)
        wanted = (int, float) if kind is float else kind
        if not isinstance(value, wanted) or (isinstance(value, bool) and kind is not bool):
            self.fail(f"expected {kind.__name__}, got {value!r}", key)
        if choices and value not in choices:
            self.fail(f"expected one of {', '.join(choices)}, got {value!r}", key)
        return value

    def strings(self, key: str) -> tuple[str, ...]:
        values = self.take(key, list, [])
        if not all(isinstance(x, str) for x in values):
            self.fail(f"expected strings, got {values!r}", key)
        return tuple(values)

    def origin(self, needed: bool = True) -> Origin | None:
        name = self.take("source", str, None if needed else "")
        if not name:
            return None
        found = sources().get(name)
        return self.fail(f"expected a name of sources.toml, got {name!r}", "source") if found is None else found

    def tables(self, key: str) -> list[_Table]:
        rows = self.take(key, list, [])
        return [_Table(self.file, f"[[{key}]] {i}", row) for i, row in enumerate(rows, 1)]

    def table(self, key: str) -> _Table:
        return _Table(self.file, f"[{key}]", self.left.pop(key, {}))

    def end(self) -> None:
        for key in self.left:
            if key in _RECORDED:
                self.fail("is never written by hand: it comes from a recorded run (portkernel targets show --run)", key)
            self.fail("unknown key", key)


@cache
def sources() -> dict[str, Origin]:
    """Every entry of ``sources.toml`` by name."""
    import tomllib  # with the first profile, not with the package

    found: dict[str, Origin] = {}
    for name, data in tomllib.loads(SOURCES.read_text(encoding="utf-8")).items():
        table = _Table(SOURCES.name, name, data)
        found[name] = Origin(name, table.take("evidence", str, None, get_args(Evidence)), table.take("text", str))
        table.end()
    return found


def names() -> tuple[str, ...]:
    """The profiles that we ship, in alphabetical order. Reads the folder, no file."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))


@cache
def record(name: str) -> Profile:
    """The profile in ``profiles/<name>.toml``. Raises :class:`~portkernel.errors.ProfileError`."""
    path = FOLDER / f"{name}.toml"
    return parse(name, path.read_text(encoding="utf-8"))


def parse(name: str, text: str) -> Profile:
    """The profile that ``text`` holds. Raises :class:`~portkernel.errors.ProfileError` with file and key."""
    import tomllib

    file = f"{name}.toml"
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"{file}: expected TOML, got: {error}") from None
    top = _Table(file, "", data)
    made = Profile(
        name=name,
        title=top.take("title", str),
        vendor=top.take("vendor", str),
        kind=top.take("kind", str, None, get_args(Kind)),
        chips=top.strings("chips"),
        notes=top.strings("notes"),
        facts=_facts(top.table("facts")),
        compiler=_compiler(top.table("compiler")),
        dtypes=tuple(fact for row in top.tables("dtype") for fact in _dtypes(row)),
        peaks=tuple(_peak(row) for row in top.tables("peak")),
        routes=tuple(_route(row) for row in top.tables("route")),
        claims=tuple(_claim(row) for row in top.tables("claim")),
    )
    top.end()
    if made.kind == "system" and not made.chips:
        top.fail("expected the profiles of the system's chips, got none", "chips")
    seen = [(d.dtype, d.usage) for d in made.dtypes]
    for key in seen:
        if seen.count(key) > 1:
            top.fail(f"states {key[0]} in {key[1]} twice", "dtype")
    return made


def _facts(table: _Table) -> dict[str, Fact]:
    found: dict[str, Fact] = {}
    for name, kind in FACTS.items():
        if name not in table.left:
            continue
        fact = _Table(table.file, f"[facts] {name}", table.left.pop(name))
        if "unknown" in fact.left:
            found[name] = Fact(None, why=fact.take("unknown", str), source=fact.origin(needed=False))
        else:
            value = fact.take("value", kind)
            source, note = fact.origin(), fact.take("note", str, "")
            found[name] = Fact(_grid(fact, value) if kind is list else value, source, note)
        fact.end()
    table.end()
    return found


def _grid(table: _Table, value: list[Any]) -> tuple[int, ...]:
    if len(value) != 3 or not all(type(n) is int for n in value):
        table.fail(f"expected three sizes, got {value!r}", "value")
    return tuple(value)


def _compiler(table: _Table) -> dict[str, object]:
    found = {name: table.take(name, kind) for name, kind in COMPILER.items() if name in table.left}
    if found.get("schedule", "gpu") not in ("cpu", "gpu"):
        table.fail(f"expected cpu or gpu, got {found['schedule']!r}", "schedule")
    if "max_grid" in found:
        found["max_grid"] = _grid(table, found["max_grid"])
    if "features" in found:
        found["features"] = frozenset(found["features"])
    table.end()
    return found


def _dtypes(table: _Table) -> list[DTypeFact]:
    names = table.strings("names")
    for name in names:
        if name not in BY_NAME and name not in OTHER_DTYPES:
            table.fail(f"expected dtypes, got {name!r}", "names")
    usage = table.take("usage", str, None, get_args(Usage))
    state: State = table.take("state", str, None, get_args(State))
    source, note = table.origin(needed=state != "unknown"), table.take("note", str, "")
    table.end()
    return [DTypeFact(name, usage, state, source, note) for name in names]


def _peak(table: _Table) -> Peak:
    source = table.origin()
    assert source is not None
    made = Peak(
        dtype=table.take("dtype", str, None, (*BY_NAME, *OTHER_DTYPES)),
        usage=table.take("usage", str, None, get_args(Usage)),
        value=float(table.take("value", float)),
        unit=table.take("unit", str, None, ("TFLOPS", "TOPS")),
        sparsity=table.take("sparsity", str, None, ("dense", "sparse")),
        source=source,
        note=table.take("note", str, ""),
    )
    table.end()
    return made


def _route(table: _Table) -> Route:
    state: RouteState = table.take("state", str, None, get_args(RouteState))
    texts = {key: table.take(key, str, "") for key in ("backend", "compiler", "fork", "language", "how")}
    name = table.take("name", str, None, ROUTES)
    source = table.origin(needed=state not in ("unknown", "none-found"))
    table.end()
    return Route(name=name, state=state, source=source, **texts)


def _claim(table: _Table) -> Claim:
    source = table.origin()
    assert source is not None
    made = Claim(table.take("text", str), source, table.take("check", str))
    table.end()
    return made
