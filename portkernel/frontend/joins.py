"""Where paths meet: how the value of a variable crosses a run-time ``if`` or the back edge of a loop.

A variable may be a tile, a Python scalar, a tuple of these, or any constant object. Its :data:`Tree` says which of
its parts travel as IR values (:class:`Leaf`) and which are the same on every path (:class:`Same`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from ..dtypes import DType, Scalar, as_dtype, promote, weak_dtype
from ..errors import DTypeError
from ..ir import Tile, Value
from ..lang import TensorValue, TileValue
from ..lang.values import as_tile


@dataclass(frozen=True, slots=True, eq=False)
class Same:
    """One Python object on every path."""

    value: object


@dataclass(frozen=True, slots=True, eq=False)
class Leaf:
    """A run-time value of ``type``.

    ``weak`` is the Python scalar that it was before the loop, whose dtype is still free: ``retyped`` once it has
    followed the body, ``varies`` once it is known to change. ``origin`` is the weak leaf of an outer loop that it is.
    """

    type: Tile
    weak: Scalar | None = None
    retyped: bool = False
    varies: bool = False
    origin: Leaf | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Group:
    """A tuple, list or named tuple, rebuilt from its parts by ``make``."""

    parts: tuple[Tree, ...]
    make: Callable[[list[object]], object]


Tree = Same | Leaf | Group
Weak = dict[Value, Leaf]


class Mismatch(Exception):
    """Two values that cannot be one variable; the message says how they differ."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected = expected
        self.got = got


class Retype(Exception):
    """``leaf``, a Python scalar that an enclosing loop carries, must have ``dtype`` from the start."""

    def __init__(self, leaf: Leaf, dtype: DType) -> None:
        super().__init__(leaf, dtype)
        self.leaf = leaf
        self.dtype = dtype


def describe(value: object) -> str:
    """A value's type in the words of an error message."""
    if isinstance(value, TileValue):
        return str(value.type)
    if isinstance(value, TensorValue):
        return f"array `{value.value.hint}`"
    if isinstance(value, (tuple, list)):
        return f"a {type(value).__name__} of {len(value)}"
    if value is None or isinstance(value, (bool, int, float, str, np.generic)):
        return f"the constant {value!r}"
    name = getattr(value, "__name__", None)
    if callable(value) and name:
        return f"the function `{name}`"
    shown = repr(value)
    return f"the object {shown if len(shown) < 80 else shown[:76] + ' ...'}"


def same(a: object, b: object) -> bool:
    """Whether two values are one and the same constant; -0.0 is not 0.0, True is not 1."""
    if a is b:
        return True
    if isinstance(a, (TileValue, TensorValue)) and isinstance(b, (TileValue, TensorValue)):
        return a.value is b.value
    if type(a) is not type(b):
        return False
    if isinstance(a, float) and isinstance(b, float):
        return (a == b and math.copysign(1, a) == math.copysign(1, b)) or (a != a and b != b)
    if isinstance(a, (bool, int, str, bytes, DType, range)):
        return bool(a == b)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b, strict=True))
    if isinstance(a, np.generic):
        return isinstance(b, np.generic) and a.dtype == b.dtype and a.tobytes() == b.tobytes()
    return False


def fits(value: Scalar, dtype: DType) -> bool:
    """Whether a Python scalar may become ``dtype`` unasked."""
    if isinstance(value, bool):
        return True
    if isinstance(value, int):
        return dtype.is_float or (dtype.is_integer and dtype.min <= value <= dtype.max)
    return dtype.is_float


def _maker(value: tuple[object, ...] | list[object]) -> Callable[[list[object]], object]:
    make = getattr(type(value), "_make", None)  # a named tuple
    return make if make is not None else type(value)


def entry(value: object, weak: Weak) -> Tree:
    """The tree of a variable that enters a loop."""
    if isinstance(value, TileValue):
        return Leaf(value.type, origin=weak.get(value.value))
    if isinstance(value, (bool, int, float)):
        return Leaf(Tile((), weak_dtype(value)), weak=value)
    if isinstance(value, np.generic):
        return Leaf(Tile((), as_dtype(value.dtype)))
    if isinstance(value, (tuple, list)):
        return Group(tuple(entry(v, weak) for v in value), _maker(value))
    return Same(value)


def leaves(tree: Tree) -> Iterator[Leaf]:
    match tree:
        case Leaf():
            yield tree
        case Group(parts):
            for part in parts:
                yield from leaves(part)
        case Same():
            pass


def swap(tree: Tree, change: Callable[[Leaf], Tree]) -> Tree:
    """``tree`` with every leaf changed; itself if none did."""
    match tree:
        case Leaf():
            return change(tree)
        case Group(parts):
            changed = tuple(swap(p, change) for p in parts)
            unchanged = all(a is b for a, b in zip(parts, changed, strict=True))
            return tree if unchanged else replace(tree, parts=changed)
        case Same():
            return tree


def flatten(tree: Tree, value: object, out: list[Value]) -> None:
    """Append the leaves of ``value``, whose tree is ``tree``; Python scalars become constants."""
    match tree:
        case Leaf(type=wanted):
            out.append(as_tile(value, "join", wanted.dtype).value)
        case Group(parts):
            assert isinstance(value, (tuple, list))
            for part, item in zip(parts, value, strict=True):
                flatten(part, item, out)
        case Same():
            pass


def rebuild(tree: Tree, values: Iterator[Value]) -> object:
    """The variable that ``tree`` describes, its leaves taken from ``values``."""
    match tree:
        case Leaf():
            return TileValue(next(values))
        case Group(parts, make):
            return make([rebuild(p, values) for p in parts])
        case Same(value):
            return value


def join(a: object, b: object, weak: Weak) -> Tree:
    """The tree of a variable that is ``a`` after one branch and ``b`` after the other. Raises :class:`Mismatch`."""
    if same(a, b):
        return Same(a)
    if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)):
        if type(a) is not type(b) or len(a) != len(b):
            raise Mismatch(describe(a), describe(b))
        return Group(tuple(join(x, y, weak) for x, y in zip(a, b, strict=True)), _maker(a))
    a_type, b_type = _tile_of(a), _tile_of(b)
    if a_type is None or b_type is None:
        raise Mismatch(describe(a), describe(b))
    free_a, free_b = isinstance(a, (bool, int, float)), isinstance(b, (bool, int, float))
    if free_a and free_b:
        return Leaf(Tile((), promote(a_type.dtype, b_type.dtype)))
    if free_a:
        return _with_scalar(b, b_type, a, weak, Mismatch(describe(a), describe(b)))
    if free_b:
        return _with_scalar(a, a_type, b, weak, Mismatch(describe(a), describe(b)))
    if a_type != b_type:
        _retype(a, b_type, weak)
        _retype(b, a_type, weak)
        raise Mismatch(str(a_type), str(b_type))
    return Leaf(a_type)


def _tile_of(value: object) -> Tile | None:
    if isinstance(value, TileValue):
        return value.type
    if isinstance(value, (bool, int, float)):
        return Tile((), weak_dtype(value))
    return Tile((), as_dtype(value.dtype)) if isinstance(value, np.generic) else None


def _with_scalar(tile: object, wanted: Tile, scalar: object, weak: Weak, wrong: Mismatch) -> Leaf:
    assert isinstance(scalar, (bool, int, float))
    if wanted.shape == () and fits(scalar, wanted.dtype):
        return Leaf(wanted)
    _retype(tile, Tile((), weak_dtype(scalar)), weak)
    raise wrong


def _retype(value: object, wanted: Tile, weak: Weak) -> None:
    """If ``value`` is a Python scalar carried by a loop, ask that loop to carry it as ``wanted``."""
    leaf = weak.get(value.value) if isinstance(value, TileValue) else None
    if leaf is not None and _may_become(leaf, wanted):
        raise Retype(leaf, wanted.dtype)


def _may_become(leaf: Leaf, wanted: Tile) -> bool:
    if leaf.weak is None or wanted.shape or wanted == leaf.type or not fits(leaf.weak, wanted.dtype):
        return False
    if isinstance(leaf.weak, bool) is not wanted.dtype.is_bool:
        return False
    return not leaf.retyped or _grows(leaf.type.dtype, wanted.dtype)


def _grows(old: DType, new: DType) -> bool:
    try:
        return promote(old, new) == new
    except DTypeError:
        return False


def retyped(leaf: Leaf, dtype: DType) -> Leaf:
    return replace(leaf, type=Tile((), dtype), retyped=True, varies=True)


def update(tree: Tree, value: object, at_entry: object) -> Tree:
    """What ``tree`` must become so that a loop whose body ends with ``value`` can carry it; itself if it fits.

    ``at_entry`` is what the body began with. Raises :class:`Mismatch` where nothing fits, :class:`Retype` where a
    loop further out must change.
    """
    match tree:
        case Same(constant):
            if same(constant, value):
                return tree
            if isinstance(constant, (bool, int, float)) and _tile_of(value) is not None:
                return Leaf(Tile((), weak_dtype(constant)), weak=constant, varies=True)
            raise Mismatch(describe(constant), describe(value))
        case Group(parts):
            if not isinstance(value, (tuple, list)) or len(value) != len(parts):
                raise Mismatch(f"a tuple of {len(parts)}", describe(value))
            assert isinstance(at_entry, (tuple, list))
            changed = tuple(update(p, v, e) for p, v, e in zip(parts, value, at_entry, strict=True))
            unchanged = all(a is b for a, b in zip(parts, changed, strict=True))
            return tree if unchanged else replace(tree, parts=changed)
        case Leaf():
            return _update_leaf(tree, value, at_entry)


def _update_leaf(leaf: Leaf, value: object, at_entry: object) -> Tree:
    if leaf.weak is not None and not leaf.varies and (value is at_entry or same(value, leaf.weak)):
        return Same(leaf.weak)
    got = _tile_of(value)
    if got is None:
        raise Mismatch(str(leaf.type), describe(value))
    if got == leaf.type:
        return leaf
    if isinstance(value, (bool, int, float)):
        if not leaf.type.shape and fits(value, leaf.type.dtype):
            return leaf
        got = Tile((), promote(leaf.type.dtype, got.dtype)) if not leaf.type.shape else got
    if _may_become(leaf, got):
        return retyped(leaf, got.dtype)
    if leaf.origin is not None and _may_become(leaf.origin, got):
        raise Retype(leaf.origin, got.dtype)
    raise Mismatch(str(leaf.type), describe(value))
