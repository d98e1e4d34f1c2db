"""Values, operations, blocks and functions: the skeleton that both IR levels share.

An operation is a frozen dataclass whose fields say what they are: ``operand()`` (a Value, an optional Value or
a tuple of them), ``attr()`` (plain data) or ``region()`` (a nested Block). Everything generic (printing, mapping,
verification) reads those kinds, so that a new operation is one class and nothing else.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, fields, replace
from enum import Enum
from typing import Any, ClassVar, TypeVar

from ..loc import UNKNOWN, Loc
from .types import Pointer, Tensor, Tile, Type, Vec


@dataclass(frozen=True, slots=True, eq=False)
class Value:
    """A result, defined once. Equality is identity; ``hint`` is the user's name for it, if there is one."""

    type: Type
    hint: str = ""

    @property
    def tile(self) -> Tile:
        assert isinstance(self.type, Tile), self.type
        return self.type

    @property
    def tensor(self) -> Tensor:
        assert isinstance(self.type, Tensor), self.type
        return self.type

    @property
    def vec(self) -> Vec:
        """The register type in SIMT IR; a scalar parameter of the kernel counts as a one-lane vector."""
        if isinstance(self.type, Tile) and not self.type.shape:
            return Vec(self.type.dtype)
        assert isinstance(self.type, Vec), self.type
        return self.type

    @property
    def pointer(self) -> Pointer:
        assert isinstance(self.type, Pointer), self.type
        return self.type


class Effect(Enum):
    """What executing an operation may touch, so that passes ask instead of listing names."""

    PURE = "pure"
    READ = "read"
    WRITE = "write"


_KIND = "kind"


# ``Any`` as in ``dataclasses.field``: the annotation of the field that takes the result says its type.
def operand() -> Any:
    return field(metadata={_KIND: "operand"})


def attr() -> Any:
    return field(metadata={_KIND: "attr"})


def region() -> Any:
    return field(metadata={_KIND: "region"})


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Op:
    """Base of all operations. The location is mandatory."""

    results: tuple[Value, ...]
    loc: Loc = field(repr=False)

    effect: ClassVar[Effect] = Effect.PURE

    @property
    def result(self) -> Value:
        (only,) = self.results
        return only

    @property
    def operands(self) -> tuple[Value, ...]:
        """Every operand value, in field order, optional ones left out when absent."""
        found: list[Value] = []
        for name in field_names(type(self), "operand"):
            item = getattr(self, name)
            if isinstance(item, tuple):
                found.extend(item)
            elif item is not None:
                found.append(item)
        return tuple(found)

    @property
    def regions(self) -> tuple[Block, ...]:
        items = (getattr(self, name) for name in field_names(type(self), "region"))
        return tuple(r for r in items if r is not None)

    def attributes(self) -> Iterator[tuple[str, object]]:
        for name in field_names(type(self), "attr"):
            yield name, getattr(self, name)


_FIELDS: dict[tuple[type[Op], str], tuple[str, ...]] = {}  # dataclasses.fields() is too slow to ask for every op


def field_names(op: type[Op], kind: str) -> tuple[str, ...]:
    """The names of ``op``'s fields of one kind: ``operand``, ``attr`` or ``region``."""
    found = _FIELDS.get((op, kind))
    if found is None:
        found = _FIELDS[op, kind] = tuple(f.name for f in fields(op) if f.metadata.get(_KIND) == kind)
    return found


@dataclass(frozen=True, slots=True, eq=False)
class Block:
    """Operations in order. ``params`` are defined on entry, ``yields`` leave it."""

    params: tuple[Value, ...]
    ops: tuple[Op, ...]
    yields: tuple[Value, ...]


@dataclass(frozen=True, slots=True, eq=False)
class Func:
    """A kernel lowered for one signature.

    ``params`` are the run-time parameters in the order of the launch: tensors and scalars (tiles of shape ``()``),
    each hinted with its name. ``constants`` are the compile-time parameters as the user sees them.
    """

    name: str
    params: tuple[Value, ...]
    body: Block
    constants: tuple[tuple[str, object], ...] = ()
    loc: Loc = UNKNOWN

    @property
    def tensors(self) -> tuple[Value, ...]:
        return tuple(p for p in self.params if isinstance(p.type, Tensor))


OpT = TypeVar("OpT", bound=Op)


def rebuild(op: OpT, value: Callable[[Value], Value], block: Callable[[Block], Block]) -> OpT:
    """``op`` with every operand mapped by ``value`` and every region by ``block``; itself if nothing changed."""
    changes: dict[str, object] = {}
    for name in field_names(type(op), "operand"):
        old = getattr(op, name)
        new: object
        if isinstance(old, tuple):
            new = tuple(value(v) for v in old)
            same = all(a is b for a, b in zip(old, new, strict=True))
        else:
            new = None if old is None else value(old)
            same = new is old
        if not same:
            changes[name] = new
    for name in field_names(type(op), "region"):
        old = getattr(op, name)
        new = None if old is None else block(old)
        if new is not old:
            changes[name] = new
    return replace(op, **changes) if changes else op  # type: ignore[arg-type]


def walk(block: Block) -> Iterator[Op]:
    """Every operation of ``block``, outer before inner, in order."""
    for op in block.ops:
        yield op
        for inner in op.regions:
            yield from walk(inner)
