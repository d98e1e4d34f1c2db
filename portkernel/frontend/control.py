"""Statements: assignments, and control flow that is either decided now or recorded."""

from __future__ import annotations

import ast
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import cast

from .. import ir
from ..dtypes import DType, promote, weak_dtype
from ..errors import (
    CallError,
    DTypeError,
    PortkernelError,
    ShapeError,
    StaticAssertionError,
    UnsupportedSyntaxError,
)
from ..lang import TileValue
from ..lang.elementwise import as_scalar_bool
from ..lang.program import device_assert, static_range
from ..lang.values import as_tile, cast_to, is_scalar_constant
from .calls import Calls
from .frame import MISSING, Flow, Outcome, Region, Return, Undefined, is_runtime
from .joins import Mismatch, Retype, Tree, describe, flatten, join, rebuild
from .names import read_outside, returns

_UNSUPPORTED: dict[type[ast.stmt], tuple[str, str]] = {
    ast.ClassDef: ("class", "define it outside the kernel"),
    ast.Try: ("try", "a kernel cannot catch errors: check with `if` before"),
    ast.With: ("with", "kernels have no context managers"),
    ast.AsyncWith: ("async with", "kernels are not coroutines"),
    ast.AsyncFor: ("async for", "kernels are not coroutines"),
    ast.AsyncFunctionDef: ("async def", "kernels are not coroutines"),
    ast.Import: ("import", "import at the top of the file"),
    ast.ImportFrom: ("import", "import at the top of the file"),
    ast.Global: ("global", "pass the value as an argument; captured values are constants"),
    ast.Nonlocal: ("nonlocal", "return the new value from the helper"),
    ast.Delete: ("del", "a variable ends with its function"),
    ast.Raise: ("raise", "use assert, pk.static_assert() or pk.device_assert()"),
    ast.Match: ("match", "use if / elif / else"),
}
_MAX_UNROLL = 1 << 16


class Statements(Calls):
    """Interprets every kind of statement but run-time loops."""

    def block(self, body: Sequence[ast.stmt]) -> Outcome:
        for i, stmt in enumerate(body):
            if isinstance(stmt, ast.If) and returns(stmt):
                # What follows an `if` that returns belongs to the branch that did not: both run to the end.
                return self._if(stmt, body[i + 1 :])
            outcome = self._if(stmt, ()) if isinstance(stmt, ast.If) else self._statement(stmt)
            if outcome is not Flow.NEXT:
                return outcome
        return Flow.NEXT

    def _statement(self, stmt: ast.stmt) -> Outcome:
        handler = _HANDLERS.get(type(stmt))
        try:
            if handler is None:
                what, hint = _UNSUPPORTED.get(type(stmt), (type(stmt).__name__, ""))
                raise UnsupportedSyntaxError(
                    f"`{what}`: expected a statement of the kernel language, got one that it does not have", hint=hint
                )
            return handler(self, stmt)
        except PortkernelError as e:
            e.at(self.frame.loc(stmt))
            raise
        except Retype:
            raise
        except Exception as e:
            raise self.defect(e, stmt) from e

    # --- simple statements ----------------------------------------------------------------------------------

    def _expr(self, stmt: ast.Expr) -> Outcome:
        if not isinstance(stmt.value, ast.Constant):
            self.eval(stmt.value)
        return Flow.NEXT

    def _pass(self, stmt: ast.Pass) -> Outcome:
        return Flow.NEXT

    def _assign(self, stmt: ast.Assign) -> Outcome:
        value = self.eval(stmt.value)
        for target in stmt.targets:
            self.assign(target, value)
        return Flow.NEXT

    def _annotated(self, stmt: ast.AnnAssign) -> Outcome:
        if stmt.value is not None:
            self.assign(stmt.target, self.eval(stmt.value))
        return Flow.NEXT

    def _augmented(self, stmt: ast.AugAssign) -> Outcome:
        target = stmt.target
        if isinstance(target, ast.Name):
            with self.blame(target):
                before = self.lookup(target.id)
        else:
            before = self.eval(
                ast.copy_location(ast.Subscript(target.value, target.slice, ast.Load()), target)
                if isinstance(target, ast.Subscript)
                else target
            )
        value = self.eval(stmt.value)
        self.at(stmt)
        result = self.binary(type(stmt.op), before, value)
        self.assign(target, self.owned(result) if isinstance(result, list) else result)
        return Flow.NEXT

    def _assert(self, stmt: ast.Assert) -> Outcome:
        cond = self.eval(stmt.test)
        message = "" if stmt.msg is None else self.eval(stmt.msg)
        self.at(stmt)
        if is_runtime(cond):
            device_assert(cond, str(self.constant(message, "assert: message")) or ast.unparse(stmt.test))  # type: ignore[arg-type]
        elif not self.python("assert", bool, cond):
            raise StaticAssertionError(f"assert: {message or ast.unparse(stmt.test)}: expected true, got {cond!r}")
        return Flow.NEXT

    def _def(self, stmt: ast.FunctionDef) -> Outcome:
        if stmt.decorator_list:
            with self.blame(stmt.decorator_list[0]):
                raise UnsupportedSyntaxError(
                    "decorator: expected a plain nested function, got a decorated one",
                    hint="define it outside the kernel",
                )
        self.bind(stmt.name, self.define(stmt, stmt.name), stmt)
        return Flow.NEXT

    def _return(self, stmt: ast.Return) -> Outcome:
        if Region.LOOP in self.frame.regions:
            raise UnsupportedSyntaxError(
                "`return`: expected it outside of run-time loops, got one inside",
                hint="put the condition into a `while`, and return after the loop",
            )
        if Region.UNROLLED in self.frame.regions and Region.BRANCH in self.frame.regions:
            raise UnsupportedSyntaxError(
                "`return`: expected a compile-time condition inside an unrolled loop, got a run-time one",
                hint="choose the value with pk.where(), and return after the loop",
            )
        return Return(None if stmt.value is None else self.eval(stmt.value), stmt)

    def _break(self, stmt: ast.Break | ast.Continue) -> Outcome:
        word = "break" if isinstance(stmt, ast.Break) else "continue"
        if self.frame.regions[-1:] != [Region.UNROLLED]:
            where = self.frame.regions[-1].value if self.frame.regions else "no loop"
            raise UnsupportedSyntaxError(
                f"`{word}`: expected an unrolled loop and a compile-time condition, got {where}",
                hint="put the condition into a `while`, or select with pk.where()"
                if word == "break"
                else "guard the rest of the body with `if`, or select with pk.where()",
            )
        return Flow.BREAK if word == "break" else Flow.CONTINUE

    # --- if -------------------------------------------------------------------------------------------------

    def _if(self, stmt: ast.If, rest: Sequence[ast.stmt]) -> Outcome:
        cond = self.eval(stmt.test)
        with self.blame(stmt.test):
            if not is_runtime(cond):
                chosen = stmt.body if self.python("if", bool, cond) else stmt.orelse
            else:
                self.at(stmt.test)
                scalar = as_scalar_bool(cast(TileValue, cond), "if: condition")
        if not is_runtime(cond):
            return self.block([*chosen, *rest])
        with self.blame(stmt):
            return self._branches(stmt, scalar, rest)

    def _branches(self, stmt: ast.If, cond: TileValue, rest: Sequence[ast.stmt]) -> Outcome:
        before, sites = self.frame.env, self.frame.sites
        ends: list[tuple[ir.Scope, dict[str, object], dict[str, ast.AST], Outcome]] = []
        try:
            for body in (stmt.body, stmt.orelse):
                self.frame.env, self.frame.sites = dict(before), dict(sites)
                with self.region(Region.BRANCH), self.builder.scope() as scope:
                    outcome = self.block([*body, *rest])
                ends.append((scope, self.frame.env, self.frame.sites, outcome))
        finally:
            self.frame.env, self.frame.sites = before, sites
        if returns(stmt):
            return self._join_returns(stmt, cond, ends)
        names = list(
            dict.fromkeys(k for _, env, _, _ in ends for k, v in env.items() if before.get(k, MISSING) is not v)
        )
        joined: dict[str, Tree] = {}
        after: dict[str, object] = {}
        for name in names:
            found = self._join_name(name, stmt, before, ends)
            if isinstance(found, Undefined):
                after[name] = found
            else:
                joined[name] = found
        variables = [(tree, [env[name] for _, env, _, _ in ends]) for name, tree in joined.items()]
        results = self._emit_if(stmt, cond, [e[0] for e in ends], variables)
        self.frame.sites.update({n: ends[0][2].get(n) or ends[1][2].get(n, stmt) for n in names})
        for name, value in zip(joined, results, strict=True):
            self.bind(name, value, self.frame.sites[name])
        self.frame.env.update(after)
        return Flow.NEXT

    def _join_name(
        self,
        name: str,
        stmt: ast.If,
        before: dict[str, object],
        ends: list[tuple[ir.Scope, dict[str, object], dict[str, ast.AST], Outcome]],
    ) -> Tree | Undefined:
        """The joined value of one variable, or why it has none."""
        values = [env.get(name, MISSING) for _, env, _, _ in ends]
        for i, value in enumerate(values):
            if isinstance(value, Undefined):
                return value
            if value is MISSING:
                other = ends[1 - i][2].get(name, stmt)
                branch = ("true", "false")[1 - i]
                return Undefined(
                    f"`{name}`: expected a value on every path, got one only where the `if` of line {stmt.lineno} is {branch}"
                    f" (assigned in line {getattr(other, 'lineno', 0)})",
                    f"assign `{name}` before the `if`, or in both branches",
                )
        if name not in before and not read_outside(name, stmt, self.frame.source.node):
            return Undefined(f"`{name}`: expected a value, got none: nothing was known to read it")
        try:
            return join(values[0], values[1], self.weak)
        except Mismatch as e:
            first, second = (int(getattr(end[2].get(name, stmt), "lineno", 0)) for end in ends)
            return self.changed_type(
                "if",
                f"`{name}`: its type depends on the branch",
                f"{e.expected} as where the condition is true (line {first})",
                f"{e.got} where it is false (line {second})",
                ends[1][2].get(name, stmt) if before.get(name) is not values[1] else ends[0][2].get(name, stmt),
                "convert with astype(), or give the shapes the same sides, in one of the branches",
            )

    def _join_returns(
        self,
        stmt: ast.If,
        cond: TileValue,
        ends: list[tuple[ir.Scope, dict[str, object], dict[str, ast.AST], Outcome]],
    ) -> Outcome:
        """Both paths ran to the end of the function: what they return is joined."""
        values = [e[3].value if isinstance(e[3], Return) else None for e in ends]
        nodes = [e[3].node if isinstance(e[3], Return) else stmt for e in ends]
        try:
            tree = join(values[0], values[1], self.weak)
        except Mismatch as e:
            lines = [getattr(n, "lineno", 0) for n in nodes]
            raise self.changed_type(
                "return",
                "result: its type depends on the branch",
                f"{e.expected} as in line {lines[0]}",
                f"{e.got} in line {lines[1]}",
                nodes[1] or stmt,
                "return the same types from every branch",
            ).raised() from None
        (result,) = self._emit_if(stmt, cond, [e[0] for e in ends], [(tree, values)])
        return Return(result, nodes[0] or nodes[1])

    def _emit_if(
        self, stmt: ast.If, cond: TileValue, scopes: list[ir.Scope], variables: list[tuple[Tree, list[object]]]
    ) -> list[object]:
        """Close both branches with the leaves of ``variables`` (tree, value in each branch); the joined values."""
        self.at(stmt)
        blocks: list[ir.Block] = []
        for i, scope in enumerate(scopes):
            yields: list[ir.Value] = []
            with self.builder.reopen(scope):
                for tree, values in variables:
                    flatten(tree, values[i], yields)
            blocks.append(scope.close(tuple(yields)))
        types = tuple(v.type for v in blocks[0].yields)
        made = self.builder.emit(ir.If, types, cond=cond.value, then=blocks[0], orelse=blocks[1])
        results = iter(made.results)
        return [rebuild(tree, results) for tree, _ in variables]

    @contextmanager
    def region(self, region: Region) -> Iterator[None]:
        self.frame.regions.append(region)
        try:
            yield
        finally:
            self.frame.regions.pop()

    # --- loops that are unrolled ----------------------------------------------------------------------------

    def _for(self, stmt: ast.For) -> Outcome:
        self._no_else(stmt)
        if isinstance(stmt.iter, ast.Call):
            fn = self.eval(stmt.iter.func)
            if fn is range:
                args = self.items(stmt.iter.args)
                with self.blame(stmt.iter):
                    if stmt.iter.keywords or not 1 <= len(args) <= 3:
                        raise CallError(
                            f"range(): expected 1 to 3 positional arguments, got {len(args) + len(stmt.iter.keywords)}"
                        )
                    self.at(stmt.iter)
                    bounds = self._bounds(args)
                return self.for_range(stmt, bounds)
        sequence = self.eval(stmt.iter)
        if isinstance(sequence, range):
            with self.blame(stmt.iter):
                bounds = self._bounds([sequence.start, sequence.stop, sequence.step])
            return self.for_range(stmt, bounds)
        with self.blame(stmt.iter):
            if isinstance(sequence, static_range) and len(sequence.steps) > _MAX_UNROLL:
                raise CallError(
                    f"static_range(): expected at most {_MAX_UNROLL} steps, got {len(sequence.steps)}",
                    hint="use range()",
                )
            steps = self.iterate(sequence, "for")
        return self._unroll(stmt, steps)

    def _unroll(self, stmt: ast.For, steps: list[object]) -> Outcome:
        for step in steps:
            self.assign(stmt.target, step)
            with self.region(Region.UNROLLED):
                outcome = self.block(stmt.body)
            if outcome is Flow.BREAK:
                break
            if isinstance(outcome, Return):
                return outcome
        return Flow.NEXT

    def _no_else(self, stmt: ast.For | ast.While) -> None:
        if stmt.orelse:
            with self.blame(stmt.orelse[0]):
                raise UnsupportedSyntaxError(
                    "`else` of a loop: expected a loop without one, got one", hint="write it after the loop"
                )

    def _bounds(self, args: list[object]) -> tuple[object, object, object]:
        """start, stop and step of ``range``, each a Python int or an integer scalar."""
        start, stop, step = (0, args[0], 1) if len(args) == 1 else (*args, 1)[:3]
        for name, value in (("start", start), ("stop", stop), ("step", step)):
            if isinstance(value, TileValue):
                if value.shape:
                    raise ShapeError(f"range(): {name}: expected a scalar, got {value.type}")
                if not value.dtype.is_integer:
                    raise DTypeError(
                        f"range(): {name}: expected an integer, got {value.dtype}",
                        hint="convert it with astype(pk.int32)",
                    )
            elif isinstance(value, float) or not is_scalar_constant(value) or isinstance(value, bool):
                raise DTypeError(f"range(): {name}: expected an integer, got {describe(value)}")
        if not isinstance(step, TileValue) and step == 0:
            raise CallError("range(): step: expected a number other than 0, got 0")
        return start, stop, step

    @abstractmethod
    def for_range(self, stmt: ast.For, bounds: tuple[object, object, object]) -> Outcome:
        """A loop over ``range``, recorded as one: ``static_range`` is what unrolls."""

    @abstractmethod
    def while_loop(self, stmt: ast.While) -> Outcome:
        """A loop whose condition is asked for before every turn."""


def common_integers(values: tuple[object, object, object]) -> tuple[TileValue, TileValue, TileValue]:
    """Bounds in one integer dtype that holds them all."""
    tiles = [v.dtype for v in values if isinstance(v, TileValue)]
    numbers = [int(v) for v in values if not isinstance(v, TileValue)]  # type: ignore[call-overload]  # checked
    dtype: DType | None = None
    try:
        for found in tiles:
            dtype = found if dtype is None else promote(dtype, found)
        for n in numbers:
            if dtype is None or not dtype.min <= n <= dtype.max:
                dtype = weak_dtype(n) if dtype is None else promote(dtype, weak_dtype(n))
    except DTypeError as e:
        raise DTypeError(
            f"range(): expected bounds of one integer dtype, got {', '.join(describe(v) for v in values)}", hint=e.hint
        ) from None
    assert dtype is not None
    made = [cast_to(v, dtype) if isinstance(v, TileValue) else as_tile(int(v), "range()", dtype) for v in values]  # type: ignore[call-overload]
    return made[0], made[1], made[2]


_HANDLERS: dict[type[ast.stmt], Callable[[Statements, ast.stmt], Outcome]] = cast(
    "dict[type[ast.stmt], Callable[[Statements, ast.stmt], Outcome]]",
    {
        ast.Expr: Statements._expr,
        ast.Pass: Statements._pass,
        ast.Assign: Statements._assign,
        ast.AnnAssign: Statements._annotated,
        ast.AugAssign: Statements._augmented,
        ast.Assert: Statements._assert,
        ast.FunctionDef: Statements._def,
        ast.Return: Statements._return,
        ast.Break: Statements._break,
        ast.Continue: Statements._break,
        ast.For: Statements._for,
        ast.While: lambda self, stmt: self.while_loop(stmt),
    },
)
