"""Calls: operators record, the user's functions are inlined, Python computes with constants."""

from __future__ import annotations

import ast
import builtins
import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from types import BuiltinFunctionType, FunctionType, MethodType
from typing import cast

from .. import lang
from ..dtypes import DType
from ..errors import (
    CallError,
    KernelRecursionError,
    NotConstantError,
    SourceUnavailableError,
    UnsupportedSyntaxError,
)
from ..lang import TensorValue, TileValue, elementwise
from ..lang.program import static_range
from . import signature as sig
from .frame import Frame, LocalFunction, Return, closure_cells, has_runtime, is_runtime
from .interpret import Expressions
from .joins import describe
from .source import FunctionSource, find

_MUTATORS = frozenset(
    {"append", "extend", "insert", "pop", "remove", "clear", "sort", "reverse", "update", "setdefault", "popitem"}
)
_TRANSPARENT = frozenset({
    builtins.isinstance, builtins.tuple, builtins.list, builtins.dict, builtins.zip, builtins.enumerate, builtins.reversed, builtins.sum,
    builtins.type, builtins.getattr, builtins.hasattr, builtins.callable, builtins.pow,
})  # fmt: skip
_CONSTANT_ONLY = frozenset({
    builtins.range, builtins.sorted, builtins.divmod, builtins.str, builtins.repr, builtins.format, builtins.set, builtins.frozenset,
    builtins.slice, builtins.hash, builtins.chr, builtins.ord, builtins.bin, builtins.hex, builtins.issubclass, builtins.bytes,
    builtins.iter, builtins.next,
})  # fmt: skip
_BUILTINS = frozenset(v for v in vars(builtins).values() if callable(v))
_CASTS: dict[object, str] = {builtins.int: "int32", builtins.float: "float32", builtins.bool: "bool_"}


class Calls(Expressions):
    """Decides what a call means by what is called."""

    def apply(self, fn: object, args: Sequence[object], kwargs: Mapping[str, object], node: ast.AST) -> object:
        if isinstance(fn, LocalFunction):
            return self._inline_local(fn, args, kwargs, node)
        if isinstance(fn, MethodType):
            return self._method(fn, args, kwargs, node)
        if lang.is_operator(fn):
            return self._operator(cast("Callable[..., object]", fn), args, kwargs, node)
        if isinstance(fn, FunctionType):
            return self._inline(fn, args, kwargs, node)
        if isinstance(fn, functools.partial):
            return self.apply(fn.func, (*fn.args, *args), {**fn.keywords, **kwargs}, node)
        if fn is functools.reduce:
            return self._reduce(args, node)
        if fn is static_range:
            return self.python("static_range()", static_range, *args, **kwargs)
        if _hashable(fn) and fn in _BUILTINS:
            return self._builtin(cast("Callable[..., object]", fn), args, kwargs, node)
        wrapped = None if isinstance(fn, type) else getattr(fn, "__wrapped__", None)
        if isinstance(wrapped, FunctionType):  # another kernel, or a function behind functools.cache
            return self._inline(wrapped, args, kwargs, node)
        method = None if isinstance(fn, type) else getattr(type(fn), "__call__", None)  # noqa: B004  # the function itself
        if isinstance(method, FunctionType):
            return self._inline(method, (fn, *args), kwargs, node)
        return self._native(fn, args, kwargs)

    def _operator(
        self, fn: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object], node: ast.AST
    ) -> object:
        sig.bind(sig.signature(fn), fn.__name__, args, kwargs)
        before, self.operator_call = self.operator_call, node
        try:
            return fn(*args, **kwargs)
        finally:
            self.operator_call = before

    def _method(self, fn: MethodType, args: Sequence[object], kwargs: Mapping[str, object], node: ast.AST) -> object:
        return self.apply(fn.__func__, (fn.__self__, *args), kwargs, node)

    # --- functions of the user ------------------------------------------------------------------------------

    def define(self, node: ast.Lambda | ast.FunctionDef, name: str) -> LocalFunction:
        a = node.args
        params: list[inspect.Parameter] = []
        positional = [*a.posonlyargs, *a.args]
        defaults = [*[None] * (len(positional) - len(a.defaults)), *a.defaults]
        kind: inspect._ParameterKind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        params += [self._parameter(p, d, kind) for p, d in zip(positional, defaults, strict=True)]
        if a.vararg is not None:
            params.append(inspect.Parameter(a.vararg.arg, inspect.Parameter.VAR_POSITIONAL))
        kind = inspect.Parameter.KEYWORD_ONLY
        params += [self._parameter(p, d, kind) for p, d in zip(a.kwonlyargs, a.kw_defaults, strict=True)]
        if a.kwarg is not None:
            params.append(inspect.Parameter(a.kwarg.arg, inspect.Parameter.VAR_KEYWORD))
        source = FunctionSource(self.frame.source.file, self.frame.source.lines, node, name)
        constants = frozenset(p.arg for p in (*positional, *a.kwonlyargs) if sig.names_constexpr(p.annotation))
        return LocalFunction(source, inspect.Signature(params), self.frame, constants)

    def _parameter(self, p: ast.arg, default: ast.expr | None, kind: inspect._ParameterKind) -> inspect.Parameter:
        return inspect.Parameter(p.arg, kind, default=sig.EMPTY if default is None else self.eval(default))

    def _inline_local(
        self, fn: LocalFunction, args: Sequence[object], kwargs: Mapping[str, object], node: ast.AST
    ) -> object:
        bound = sig.bind(fn.signature, fn.source.name, args, kwargs)
        bound.apply_defaults()
        for name in fn.constants:
            self.constant(bound.arguments[name], f"{fn.source.name}(): {name}")
        call_site = self.frame.loc(node)
        frame = Frame(fn.source, dict(bound.arguments), {}, fn.frame.globals, call_site, outer=fn.frame)
        return self._enter(frame)

    def _inline(self, fn: FunctionType, args: Sequence[object], kwargs: Mapping[str, object], node: ast.AST) -> object:
        signature = sig.signature(fn)
        bound = sig.bind(signature, fn.__name__, args, kwargs)
        bound.apply_defaults()
        for name, value in bound.arguments.items():
            if is_runtime(value) and sig.is_constexpr(signature.parameters[name].annotation, fn):
                self.constant(value, f"{fn.__name__}(): {name}")
        known = not has_runtime(list(bound.arguments.values()))
        try:
            source = find(fn)
        except SourceUnavailableError:
            if known:
                return self.python(f"{fn.__name__}()", fn, *args, **kwargs)
            raise
        frame = Frame(source, dict(bound.arguments), closure_cells(fn), fn.__globals__, self.frame.loc(node))
        if not known:
            return self._enter(frame)
        return self._constant_call(fn, args, kwargs, frame)

    def _constant_call(
        self, fn: FunctionType, args: Sequence[object], kwargs: Mapping[str, object], frame: Frame
    ) -> object:
        """A function of constants may be any Python, unless it uses run-time values after all."""
        emitted = self.builder.innermost.ops
        before = len(emitted)
        try:
            return self._enter(frame)
        except UnsupportedSyntaxError as refused:
            del emitted[before:]
            try:
                return fn(*args, **kwargs)
            except Exception:
                raise refused from None

    def _enter(self, frame: Frame) -> object:
        """Interpret the function of ``frame`` and return its result."""
        if any(s.node is frame.source.node for s in self.stack):
            chain = [s.name for s in self.stack if not isinstance(s.node, ast.Lambda)]
            raise KernelRecursionError(
                f"{frame.source.name}(): expected a function that can be inlined, got a recursion: {' -> '.join([*chain, frame.source.name])}",
                hint="write it as a loop",
            )
        with self._inside(frame):
            body = frame.source.node
            if isinstance(body, ast.AsyncFunctionDef):
                with self.blame(body):
                    raise UnsupportedSyntaxError("`async def`: expected a plain function, got a coroutine")
            if isinstance(body, ast.Lambda):
                return self.eval(body.body)
            outcome = self.block(body.body)
            return outcome.value if isinstance(outcome, Return) else None

    @contextmanager
    def _inside(self, frame: Frame) -> Iterator[None]:
        before, self.frame = self.frame, frame
        loc = self.builder.loc
        self.stack.append(frame.source)
        try:
            yield
        finally:
            self.stack.pop()
            self.frame, self.builder.loc = before, loc

    # --- Python's own ---------------------------------------------------------------------------------------

    def _builtin(
        self, fn: Callable[..., object], args: Sequence[object], kwargs: Mapping[str, object], node: ast.AST
    ) -> object:
        name = fn.__name__
        special = _SPECIAL.get(fn)
        if special is not None:
            return special(self, args, kwargs)
        if fn in _CASTS and args and is_runtime(args[0]):
            raise NotConstantError(
                f"{name}(): expected a compile-time constant, got a run-time {describe(args[0])}",
                hint=f"convert it with x.astype(pk.{_CASTS[fn].rstrip('_')})",
            )
        if fn in _TRANSPARENT:
            if fn is getattr and len(args) > 1 and is_runtime(args[0]):
                raise CallError("getattr(): expected a constant object, got a run-time value", hint="write x.name")
            if any(isinstance(a, TileValue) for a in args[:1]) and fn not in (isinstance, type, hasattr, callable, pow):
                self.iterate(args[0], f"{name}()")
            if any(isinstance(a, LocalFunction) for a in args) and fn is callable:
                return True
            made = self.python(f"{name}()", fn, *args, **kwargs)
            return self.owned(made) if isinstance(made, (list, dict)) else made
        if fn in (all, any):
            return self._all_any(fn, args)
        if fn in _CONSTANT_ONLY or fn in _CASTS:
            for value in (*args, *kwargs.values()):
                self.constant(value, f"{name}()")
            return self._native(fn, args, kwargs)
        if fn is map:
            return tuple(self.apply(args[0], items, {}, node) for items in zip(*args[1:]))
        raise CallError(
            f"{name}(): expected a function of the kernel language, got a builtin that kernels do not have",
            hint=f"use pk.{name}" if name in lang.OPERATORS else "",
        )

    def _reduce(self, args: Sequence[object], node: ast.AST) -> object:
        """``functools.reduce`` of a compile-time sequence, whatever its elements."""
        if not 2 <= len(args) <= 3:
            raise CallError(f"reduce(): expected 2 or 3 positional arguments, got {len(args)}")
        items = [*args[2:], *self.iterate(args[1], "reduce()")]
        if not items:
            raise CallError("reduce(): expected at least one element or a start value, got none")
        return functools.reduce(lambda a, b: self.apply(args[0], (a, b), {}, node), items)

    def _all_any(self, fn: Callable[..., object], args: Sequence[object]) -> object:
        name = fn.__name__
        if len(args) == 1 and isinstance(args[0], TileValue):
            raise CallError(f"{name}(): expected a compile-time sequence, got a tile", hint=f"use pk.{name}(x)")
        items = self.iterate(args[0], f"{name}()") if len(args) == 1 else [*args]
        if not any(is_runtime(i) for i in items):
            return self.python(f"{name}()", fn, *args)
        combine = elementwise.logical_and if fn is all else elementwise.logical_or
        return functools.reduce(combine, items)  # type: ignore[arg-type]  # operators check their operands

    def _native(self, fn: object, args: Sequence[object], kwargs: Mapping[str, object]) -> object:
        """Something that Python itself calls: with constants alone, unless it only passes its arguments on."""
        name = getattr(fn, "__name__", type(fn).__name__)
        if not callable(fn):
            hint = f"convert it with x.astype(pk.{fn})" if isinstance(fn, DType) else ""
            raise CallError(f"call: expected a function, got {describe(fn)}", hint=hint)
        owner = getattr(fn, "__self__", None)
        if isinstance(owner, (list, dict)) and name in _MUTATORS:
            self.check_owned(owner)
        elif not _passes_on(fn) and (has_runtime(list(args)) or has_runtime(dict(kwargs))):
            found = next(v for v in (*args, *kwargs.values()) if has_runtime(v))
            shown = f"a run-time {describe(found)}" if is_runtime(found) else f"{describe(found)} with a run-time value"
            raise CallError(
                f"{name}(): expected compile-time constants, got {shown}",
                hint=f"use pk.{name}"
                if name in lang.OPERATORS
                else "kernels call pk functions and plain Python functions",
            )
        if any(isinstance(v, LocalFunction) for v in (*args, *kwargs.values())):
            raise CallError(f"{name}(): expected a plain object, got a function defined in the kernel")
        return self.python(f"{name}()", fn, *args, **kwargs)

    # --- builtins with a meaning of their own ---------------------------------------------------------------

    def _fold(
        self,
        fn: Callable[..., object],
        pair: Callable[..., object],
        args: Sequence[object],
        kwargs: Mapping[str, object],
    ) -> object:
        name = fn.__name__
        if len(args) == 1 and isinstance(args[0], TileValue):
            raise CallError(f"{name}(): expected values to compare, got one tile", hint=f"use pk.{name}(x, axis=...)")
        items = self.iterate(args[0], f"{name}()") if len(args) == 1 else list(args)
        if not any(is_runtime(i) for i in items):
            return self.python(f"{name}()", fn, *args, **kwargs)
        if kwargs:
            raise CallError(f"{name}(): {next(iter(kwargs))}: expected no keyword beside run-time values, got one")
        return functools.reduce(pair, items)

    def _min(self, args: Sequence[object], kwargs: Mapping[str, object]) -> object:
        return self._fold(min, cast("Callable[..., object]", elementwise.minimum), args, kwargs)

    def _max(self, args: Sequence[object], kwargs: Mapping[str, object]) -> object:
        return self._fold(max, cast("Callable[..., object]", elementwise.maximum), args, kwargs)

    def _abs(self, args: Sequence[object], kwargs: Mapping[str, object]) -> object:
        if len(args) == 1 and is_runtime(args[0]):
            return elementwise.abs(args[0])  # type: ignore[arg-type]  # operators check their operands
        return self.python("abs()", abs, *args, **kwargs)

    def _round(self, args: Sequence[object], kwargs: Mapping[str, object]) -> object:
        if len(args) == 1 and is_runtime(args[0]):
            return elementwise.round(args[0])  # type: ignore[arg-type]  # operators check their operands
        return self._native(round, args, kwargs)

    def _len(self, args: Sequence[object], kwargs: Mapping[str, object]) -> object:
        if len(args) == 1 and isinstance(args[0], (TileValue, TensorValue)):
            if not args[0].shape:
                raise CallError("len(): expected a sequence, got a scalar")
            return args[0].shape[0]
        return self.python("len()", len, *args, **kwargs)

    def _print(self, args: Sequence[object], kwargs: Mapping[str, object]) -> object:
        raise CallError(
            "print(): expected a function of the kernel language, got Python's own",
            hint='use pk.device_print("text", value), or pk.static_print() while compiling',
        )


_SPECIAL: dict[object, Callable[[Calls, Sequence[object], Mapping[str, object]], object]] = {
    builtins.min: Calls._min,
    builtins.max: Calls._max,
    builtins.abs: Calls._abs,
    builtins.round: Calls._round,
    builtins.len: Calls._len,
    builtins.print: Calls._print,
}


def _hashable(value: object) -> bool:
    try:
        hash(value)
    except TypeError:
        return False
    return True


def _passes_on(fn: object) -> bool:
    """Constructors of named tuples and functions of ``operator`` work on run-time values through their methods."""
    if isinstance(fn, type):
        return issubclass(fn, tuple)
    return isinstance(fn, BuiltinFunctionType) and fn.__module__ == "_operator"
