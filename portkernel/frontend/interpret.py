"""Expressions: Python computes what is known, operators of the language record what is not."""

from __future__ import annotations

import ast
import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

import numpy as np

from .. import lang
from ..errors import (
    CallError,
    KernelError,
    NotConstantError,
    PortkernelError,
    UnknownNameError,
    UnsupportedSyntaxError,
)
from ..lang import TensorValue, TileValue
from ..lang import elementwise as e
from .frame import Machine, is_runtime
from .joins import Retype, describe, same
from .signature import suggestion

_BINARY: dict[type[ast.operator], tuple[str, Callable[[object, object], object]]] = {
    ast.Add: ("+", operator.add), ast.Sub: ("-", operator.sub), ast.Mult: ("*", operator.mul), ast.Div: ("/", operator.truediv),
    ast.FloorDiv: ("//", operator.floordiv), ast.Mod: ("%", operator.mod), ast.Pow: ("**", operator.pow),
    ast.BitAnd: ("&", operator.and_), ast.BitOr: ("|", operator.or_), ast.BitXor: ("^", operator.xor),
    ast.LShift: ("<<", operator.lshift), ast.RShift: (">>", operator.rshift), ast.MatMult: ("@", operator.matmul),
}  # fmt: skip
_COMPARE: dict[type[ast.cmpop], tuple[str, Callable[[Any, Any], object]]] = {
    ast.Lt: ("<", operator.lt), ast.LtE: ("<=", operator.le), ast.Gt: (">", operator.gt), ast.GtE: (">=", operator.ge),
    ast.Eq: ("==", operator.eq), ast.NotEq: ("!=", operator.ne), ast.Is: ("is", operator.is_), ast.IsNot: ("is not", operator.is_not),
    ast.In: ("in", lambda a, b: a in b), ast.NotIn: ("not in", lambda a, b: a not in b),
}  # fmt: skip
_UNARY: dict[type[ast.unaryop], tuple[str, Callable[[Any], object]]] = {
    ast.USub: ("-", operator.neg), ast.UAdd: ("+", operator.pos), ast.Invert: ("~", operator.invert),
}  # fmt: skip
_UNSUPPORTED: dict[type[ast.expr], tuple[str, str]] = {
    ast.Yield: ("yield", "return a tuple"),
    ast.YieldFrom: ("yield from", "return a tuple"),
    ast.Await: ("await", "kernels are not coroutines"),
    ast.NamedExpr: (":=", "assign in a statement of its own"),
}
_TILE_FIELDS = ("shape", "dtype", "ndim", "size", "T")
_TENSOR_FIELDS = ("shape", "strides", "dtype", "ndim", "size")


class Expressions(Machine):
    """Evaluates every kind of expression."""

    def eval(self, node: ast.expr) -> object:
        handler = _HANDLERS.get(type(node))
        try:
            if handler is None:
                what, hint = _UNSUPPORTED.get(type(node), (type(node).__name__, ""))
                raise UnsupportedSyntaxError(
                    f"`{what}`: expected an expression of the kernel language, got one that it does not have",
                    hint=hint,
                )
            return handler(self, node)
        except PortkernelError as error:
            error.at(self.frame.loc(node))
            raise
        except Retype:
            raise
        except Exception as surprise:
            raise self.defect(surprise, node) from surprise

    # --- names, literals ------------------------------------------------------------------------------------

    def _constant(self, node: ast.Constant) -> object:
        if isinstance(node.value, complex):
            raise UnsupportedSyntaxError("complex: expected a real constant, got a complex one")
        return node.value

    def _name(self, node: ast.Name) -> object:
        return self.lookup(node.id)

    def _tuple(self, node: ast.Tuple) -> object:
        return tuple(self.items(node.elts))

    def _list(self, node: ast.List) -> object:
        return self.owned(self.items(node.elts))

    def _set(self, node: ast.Set) -> object:
        return self.python("set", set, self.items(node.elts))

    def _dict(self, node: ast.Dict) -> object:
        made: dict[object, object] = {}
        for key, value in zip(node.keys, node.values, strict=True):
            if key is None:
                made.update(cast("dict[object, object]", self.python("**", dict, self.eval(value))))
            else:
                k, v = self.eval(key), self.eval(value)
                self.python("dict", made.__setitem__, self.constant(k, "dict: key"), v)
        return self.owned(made)

    def items(self, nodes: Sequence[ast.expr]) -> list[object]:
        """The values of the elements of a literal or a call, starred ones spread."""
        found: list[object] = []
        for n in nodes:
            if isinstance(n, ast.Starred):
                with self.blame(n):
                    found.extend(self.iterate(self.eval(n.value), "*"))
            else:
                found.append(self.eval(n))
        return found

    def owned(self, made: object) -> object:
        """Remember where a list or dict was made, as it may be changed only there."""
        self.owners[id(made)] = (made, self.builder.innermost)
        return made

    def iterate(self, value: object, what: str) -> list[object]:
        """The elements of a compile-time sequence."""
        if isinstance(value, (TileValue, TensorValue)):
            raise NotConstantError(
                f"{what}: expected a compile-time sequence, got a run-time {value.type}",
                hint="use range() over its size, pk.extract() for a part of a tile, pk.load() for a part of an array",
            )
        return cast("list[object]", self.python(what, list, value))

    def constant(self, value: object, what: str) -> object:
        """``value``, which must not be a run-time one."""
        if is_runtime(value):
            raise NotConstantError(
                f"{what}: expected a compile-time constant, got a run-time {describe(value)}",
                hint="declare the parameter as pk.constexpr[...], or compute it from shapes of tiles",
            )
        return value

    def _joined(self, node: ast.JoinedStr) -> object:
        return "".join(str(self.eval(part)) for part in node.values)

    def _formatted(self, node: ast.FormattedValue) -> object:
        value = self.eval(node.value)
        if is_runtime(value):
            raise NotConstantError(
                f"f-string: expected a compile-time constant, got a run-time {describe(value)}",
                hint='print run-time values with pk.device_print("text", value)',
            )
        convert: dict[int, Callable[[object], str]] = {ord("s"): str, ord("r"): repr, ord("a"): ascii}
        shown = convert[node.conversion](value) if node.conversion in convert else value
        spec = "" if node.format_spec is None else str(self.eval(node.format_spec))
        return self.python("f-string", format, shown, spec)

    # --- attributes, subscripts -----------------------------------------------------------------------------

    def _attribute(self, node: ast.Attribute) -> object:
        value = self.eval(node.value)
        self.at(node)
        name = node.attr
        if isinstance(value, (TileValue, TensorValue)):
            fields = (*_TILE_FIELDS, *_METHODS) if isinstance(value, TileValue) else _TENSOR_FIELDS
            if name not in fields:
                what = "a tile" if isinstance(value, TileValue) else "an array"
                near = suggestion(name, fields)
                if isinstance(value, TensorValue) and name in _METHODS:
                    near = "load a tile of it first: pk.load(x, index, shape)"
                if not near and name in lang.OPERATORS:
                    near = f"use pk.{name}(...)"
                raise UnknownNameError(
                    f"`.{name}`: expected an attribute of {what}, got an unknown one",
                    hint=near or f"{what} has {', '.join(fields)}",
                )
            return getattr(value, name)
        try:
            return getattr(value, name)
        except AttributeError:
            shown = getattr(value, "__name__", type(value).__name__)
            raise UnknownNameError(
                f"`.{name}`: expected an attribute of {shown}, got an unknown one", hint=suggestion(name, dir(value))
            ) from None

    def _subscript(self, node: ast.Subscript) -> object:
        value, key = self.eval(node.value), self.eval(node.slice)
        self.at(node)
        if isinstance(value, (TileValue, TensorValue)):
            return value[key]
        if is_runtime(key):
            raise NotConstantError(
                f"index: expected a compile-time constant, got a run-time {describe(key)}",
                hint="unroll the loop with pk.static_range(), or use pk.gather() on an array",
            )
        return self.python("index", operator.getitem, value, key)

    def _slice(self, node: ast.Slice) -> object:
        parts = [None if n is None else self.eval(n) for n in (node.lower, node.upper, node.step)]
        return slice(*(self.constant(p, "slice") for p in parts))

    # --- operators ------------------------------------------------------------------------------------------

    def _binop(self, node: ast.BinOp) -> object:
        left, right = self.eval(node.left), self.eval(node.right)
        self.at(node)
        return self.binary(type(node.op), left, right)

    def binary(self, op: type[ast.operator], left: object, right: object) -> object:
        symbol, fn = _BINARY[op]
        if not is_runtime(left) and not is_runtime(right):
            return self.python(symbol, fn, left, right)
        if op is ast.MatMult:
            raise CallError(
                "@: expected an accumulator, got none: tiles have no `@`",
                hint="use pk.dot(a, b, acc): its acc says the dtype",
            )
        return fn(left, right)

    def _unaryop(self, node: ast.UnaryOp) -> object:
        value = self.eval(node.operand)
        self.at(node)
        if isinstance(node.op, ast.Not):
            return e.logical_not(value) if is_runtime(value) else not self.python("not", bool, value)  # type: ignore[arg-type]
        symbol, fn = _UNARY[type(node.op)]
        return fn(value) if is_runtime(value) else self.python(symbol, fn, value)

    def _boolop(self, node: ast.BoolOp) -> object:
        """Python's rule while the left side is known; logic on elements from the first run-time value on."""
        conjunction = isinstance(node.op, ast.And)
        combine = e.logical_and if conjunction else e.logical_or
        result: object = self.eval(node.values[0])
        for n in node.values[1:]:
            if not is_runtime(result):
                if bool(self.python("and" if conjunction else "or", bool, result)) is not conjunction:
                    return result
                result = self.eval(n)
                continue
            right = self.eval(n)
            self.at(node)
            result = combine(result, right)  # type: ignore[arg-type]  # operators check their operands
        return result

    def _compare(self, node: ast.Compare) -> object:
        left = self.eval(node.left)
        result: object = True
        for op, n in zip(node.ops, node.comparators, strict=True):
            right = self.eval(n)
            self.at(node)
            one = self._compare_pair(op, left, right)
            result = e.logical_and(result, one) if is_runtime(result) else one  # type: ignore[arg-type]
            if not is_runtime(result) and not self.python("comparison", bool, result):
                return result
            left = right
        return result

    def _compare_pair(self, op: ast.cmpop, left: object, right: object) -> object:
        symbol, fn = _COMPARE[type(op)]
        runtime = next((v for v in (left, right) if is_runtime(v)), None)
        if runtime is None or isinstance(op, (ast.Is, ast.IsNot)):
            return self.python(symbol, fn, left, right)
        if isinstance(op, (ast.In, ast.NotIn)):
            raise NotConstantError(
                f"{symbol}: expected compile-time constants, got a run-time {describe(runtime)}",
                hint="compare with == and combine with pk.any()",
            )
        return fn(left, right)

    def _ifexp(self, node: ast.IfExp) -> object:
        cond = self.eval(node.test)
        if not is_runtime(cond):
            return self.eval(node.body if self.python("if", bool, cond) else node.orelse)
        a, b = self.eval(node.body), self.eval(node.orelse)
        self.at(node)
        return self._choose(cast(TileValue, cond), a, b)

    def _choose(self, cond: TileValue, a: object, b: object) -> object:
        """Both sides of a run-time conditional expression, selected element by element."""
        if same(a, b):
            return a
        if isinstance(a, (tuple, list)) and isinstance(b, (tuple, list)) and len(a) == len(b):
            return type(a)(self._choose(cond, x, y) for x, y in zip(a, b, strict=True))
        for side in (a, b):
            if not isinstance(side, (TileValue, bool, int, float, np.generic)):
                raise NotConstantError(
                    f"if: expected a compile-time condition to choose {describe(side)}, got a run-time {cond.type}",
                    hint="only tiles, scalars and tuples of them can depend on a run-time condition",
                )
        return e.where(cond, a, b)  # type: ignore[arg-type]  # checked above

    # --- functions, comprehensions, calls -------------------------------------------------------------------

    def _call(self, node: ast.Call) -> object:
        fn = self.eval(node.func)
        args = self.items(node.args)
        kwargs: dict[str, object] = {}
        for k in node.keywords:
            value = self.eval(k.value)
            if k.arg is not None:
                kwargs[k.arg] = value
            else:
                with self.blame(k.value):
                    kwargs.update(cast("dict[str, object]", self.python("**", dict, value)))
        self.at(node)
        return self.apply(fn, args, kwargs, node)

    def _comprehension(self, node: ast.ListComp | ast.GeneratorExp) -> object:
        return self.owned([self.eval(node.elt) for _ in self._generate(node.generators)])

    def _setcomp(self, node: ast.SetComp) -> object:
        return self.python("set", set, [self.eval(node.elt) for _ in self._generate(node.generators)])

    def _dictcomp(self, node: ast.DictComp) -> object:
        pairs = [(self.eval(node.key), self.eval(node.value)) for _ in self._generate(node.generators)]
        return self.owned(self.python("dict", dict, pairs))

    def _generate(self, generators: list[ast.comprehension]) -> Iterator[None]:
        """Bind the variables of a comprehension, one combination after the other, in a scope of their own."""
        before = self.frame.env
        self.frame.env = dict(before)
        try:
            yield from self._nest(generators)
        finally:
            self.frame.env = before

    def _nest(self, generators: list[ast.comprehension]) -> Iterator[None]:
        if not generators:
            yield
            return
        first, *rest = generators
        if first.is_async:
            raise UnsupportedSyntaxError("`async for`: expected a plain `for`, got an asynchronous one")
        for item in self.iterate(self.eval(first.iter), "for"):
            self.assign(first.target, item)
            if all(self.constant_truth(test, "if") for test in first.ifs):
                yield from self._nest(rest)

    def constant_truth(self, node: ast.expr, what: str) -> bool:
        """The truth of a compile-time condition."""
        value = self.eval(node)
        with self.blame(node):
            return bool(self.python(what, bool, self.constant(value, f"{what}: condition")))

    # --- assignment -----------------------------------------------------------------------------------------

    def assign(self, target: ast.expr, value: object) -> None:
        """Bind ``value`` to a name, or its parts to a tuple of targets, or an element of a list or dict."""
        match target:
            case ast.Name():
                self.bind(target.id, value, target)
            case ast.Tuple() | ast.List():
                self._unpack(target, value)
            case ast.Subscript():
                self._set_item(target, value)
            case _:
                with self.blame(target):
                    raise UnsupportedSyntaxError(
                        "assignment: expected a name, a tuple of names or an element of a list, got another target",
                        hint="objects from outside a kernel are constants" if isinstance(target, ast.Attribute) else "",
                    )

    def _unpack(self, target: ast.Tuple | ast.List, value: object) -> None:
        with self.blame(target):
            parts = self.iterate(value, "unpacking")
            stars = [i for i, t in enumerate(target.elts) if isinstance(t, ast.Starred)]
            count = len(target.elts)
            if (not stars and len(parts) != count) or (stars and len(parts) < count - 1):
                least = f"at least {count - 1}" if stars else str(count)
                raise KernelError(f"unpacking: expected {least} values, got {len(parts)}")
            if stars:
                at, extra = stars[0], len(parts) - count + 1
                parts[at : at + extra] = [self.owned(parts[at : at + extra])]
        for t, part in zip(target.elts, parts, strict=True):
            self.assign(t.value if isinstance(t, ast.Starred) else t, part)

    def _set_item(self, target: ast.Subscript, value: object) -> None:
        owner, key = self.eval(target.value), self.eval(target.slice)
        with self.blame(target):
            if isinstance(owner, TileValue):
                raise UnsupportedSyntaxError(
                    "assignment: expected a name, got an element of a tile: tiles are values",
                    hint="make a new tile with pk.where(mask, new, old)",
                )
            if isinstance(owner, TensorValue):
                raise UnsupportedSyntaxError(
                    "assignment: expected a name, got an element of an array",
                    hint="use pk.store(x, index, value) or pk.scatter(x, indices, value)",
                )
            self.check_owned(owner)
            self.python("assignment", operator.setitem, owner, self.constant(key, "assignment: index"), value)

    def check_owned(self, owner: object) -> None:
        """Refuse to change a list or dict anywhere but where it was made: other paths see it too."""
        known = self.owners.get(id(owner))
        if known is None or known[0] is not owner:
            raise UnsupportedSyntaxError(
                f"assignment: expected a list or dict made in this kernel, got {describe(owner)} from outside",
                hint="captured objects are compile-time constants",
            )
        if known[1] is not self.builder.innermost:
            raise UnsupportedSyntaxError(
                f"assignment: expected a {type(owner).__name__} made on this path, got one from before a run-time `if` or loop",
                hint="use tuples there: state = (a, b); they are carried through branches and loops",
            )


_METHODS = tuple(lang.operators.METHODS)
_HANDLERS: dict[type[ast.expr], Callable[[Expressions, ast.expr], object]] = cast(
    "dict[type[ast.expr], Callable[[Expressions, ast.expr], object]]",
    {
        ast.Constant: Expressions._constant,
        ast.Name: Expressions._name,
        ast.Tuple: Expressions._tuple,
        ast.List: Expressions._list,
        ast.Set: Expressions._set,
        ast.Dict: Expressions._dict,
        ast.JoinedStr: Expressions._joined,
        ast.FormattedValue: Expressions._formatted,
        ast.Attribute: Expressions._attribute,
        ast.Subscript: Expressions._subscript,
        ast.Slice: Expressions._slice,
        ast.BinOp: Expressions._binop,
        ast.UnaryOp: Expressions._unaryop,
        ast.BoolOp: Expressions._boolop,
        ast.Compare: Expressions._compare,
        ast.IfExp: Expressions._ifexp,
        ast.Lambda: lambda self, node: self.define(node, "<lambda>"),
        ast.Call: Expressions._call,
        ast.ListComp: Expressions._comprehension,
        ast.GeneratorExp: Expressions._comprehension,
        ast.SetComp: Expressions._setcomp,
        ast.DictComp: Expressions._dictcomp,
    },
)
