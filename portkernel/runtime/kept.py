"""Kernels compiled by an earlier process, found again without lowering them: what a launch needs besides the binary.

An entry of the disk cache under a key of its own (:mod:`.fingerprint`) names the entry of the binary.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from types import FunctionType
from typing import TYPE_CHECKING, Any

from ..backends import Param, Source
from ..ir import Tensor, Tile
from ..loc import Loc
from ..targets import Target
from .cache import DiskCache, Entry, key_of
from .fingerprint import Reader, Unknown, environment, examine

if TYPE_CHECKING:
    from .fingerprint import Reads

Types = Mapping[str, Tensor | Tile]
_FORMAT = 2


@dataclass(frozen=True, slots=True)
class Kept:
    """``binary`` is the key of the compiled text, ``sizes`` are those that the compiler chose."""

    binary: str
    sizes: dict[str, int]
    names: tuple[str, ...]
    """The run-time parameters, in launch order."""
    writes: tuple[str, ...]
    entry: str
    threads: int
    local_bytes: int
    private_bytes: int
    asserts: tuple[tuple[str, Loc], ...]

    def source(self, backend: str, types: Types, target: Target) -> Source:
        """What the text would be with, without the text."""
        params = tuple(Param(name, types[name]) for name in self.names)
        return Source(
            "", self.entry, backend, target, params, self.threads, self.local_bytes, asserts=self.asserts,
            private_bytes=self.private_bytes,
        )  # fmt: skip


def kept_of(binary: str, sizes: dict[str, int], names: tuple[str, ...], source: Source, writes: frozenset[str]) -> Kept:
    """What to keep of a kernel that was just compiled."""
    return Kept(
        binary, sizes, names, tuple(sorted(writes)), source.entry, source.threads, source.local_bytes, source.private_bytes,
        source.asserts,
    )  # fmt: skip


def key_for(fn: FunctionType, *facts: object) -> tuple[str, Reads] | None:
    """The key of a kernel under ``facts``, and the globals that it holds; None where that cannot be told for certain."""
    known = environment()
    if known is None:
        return None
    reader = Reader()
    try:
        return key_of("kept", str(_FORMAT), known, *map(reader.tell, (fn, *facts))), reader.reads
    except (Unknown, RecursionError):  # the latter of a list that holds itself
        return None


def recall(store: DiskCache, key: str) -> Kept | None:
    """What was kept under ``key``."""
    entry = store.get(key)
    if entry is None:
        return None
    try:
        return _read(json.loads(entry.data))
    except (ValueError, KeyError, TypeError):
        return None


def keep(store: DiskCache, key: str, kept: Kept) -> None:
    """Write ``kept`` for the processes to come, unless this package changed while the kernel was lowered."""
    if examine() == environment():
        store.put(key, Entry(json.dumps(asdict(kept)).encode(), "", {"kind": "launch"}))


def _read(facts: dict[str, Any]) -> Kept:
    asserts = tuple((str(message), _loc(loc)) for message, loc in facts.pop("asserts"))
    names, writes = tuple(facts.pop("names")), tuple(facts.pop("writes"))
    return Kept(**facts, names=names, writes=writes, asserts=asserts)


def _loc(facts: dict[str, Any]) -> Loc:
    site = facts.pop("call_site")
    return Loc(**facts, call_site=None if site is None else _loc(site))
