"""Run-time loops: which variables they carry, and as what types, found by interpreting the body until it agrees."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from .. import ir
from ..dtypes import DType
from ..errors import InternalError, KernelError, NotConstantError, UnsupportedSyntaxError
from ..lang import TileValue
from ..lang.elementwise import as_scalar_bool
from .control import Statements, common_integers
from .frame import Flow, Outcome, Region, Return, Undefined, is_runtime
from .joins import Leaf, Mismatch, Retype, Same, Tree, entry, flatten, leaves, rebuild, retyped, swap, update
from .names import assigned

_ATTEMPTS = 64


@dataclass(slots=True)
class Trial:
    """The body of a loop interpreted once: what the carried variables were at its entry and at its end."""

    scope: ir.Scope
    at_entry: dict[str, object]
    at_end: dict[str, object]
    sites: dict[str, ast.AST]
    cond: ir.Block | None = None
    never: bool = False


Trees = dict[str, Tree]
Attempt = Callable[[Trees], Trial]


def _with_dtype(trees: Trees, wanted: Leaf, dtype: DType) -> Trees:
    def change(leaf: Leaf) -> Tree:
        return retyped(leaf, dtype) if leaf is wanted else leaf

    return {name: swap(tree, change) for name, tree in trees.items()}


class Interpreter(Statements):
    """The whole front-end."""

    def run(self) -> Outcome:
        """Interpret the kernel itself."""
        node = self.frame.source.node
        if isinstance(node, ast.Lambda):
            return Return(self.eval(node.body))
        with self.blame(node):
            if isinstance(node, ast.AsyncFunctionDef):
                raise UnsupportedSyntaxError("`async def`: expected a plain function, got a coroutine")
            return self.block(node.body)

    def inline(self, fn: object, args: tuple[object, ...]) -> object:
        """Call ``fn`` from within an operator's call, as ``pk.reduce`` does."""
        return self.apply(fn, args, {}, self.operator_call)

    def for_range(self, stmt: ast.For, bounds: tuple[object, object, object]) -> Outcome:
        if not isinstance(stmt.target, ast.Name):
            with self.blame(stmt.target):
                raise UnsupportedSyntaxError("for: expected one variable for range(), got a tuple")
        target = stmt.target.id
        self.at(stmt.iter)
        with self.blame(stmt.iter):
            start, stop, step = common_integers(bounds)
        names = [n for n in assigned(stmt.body) if n != target]

        def attempt(trees: Trees) -> Trial:
            index = ir.Value(start.type, target)
            params, at_entry = self._params(trees)
            with self._body(at_entry), self.builder.scope((index, *params)) as scope:
                self.bind(target, TileValue(index), stmt.target)
                self.block(stmt.body)
                return Trial(scope, at_entry, self.frame.env, self.frame.sites)

        trees, trial = self._settle("for", stmt, names, attempt)
        inits = self._inits(trees)
        body = self._close(trees, trial)
        self.at(stmt)
        types = tuple(v.type for v in inits)
        made = self.builder.emit(
            ir.For, types, start=start.value, stop=stop.value, step=step.value, inits=inits, body=body
        )
        self._leave(stmt, trees, trial, made.results, "for")
        self.frame.env[target] = Undefined(
            f"`{target}`: expected a variable with a value after the loop, got the variable of the `for` of line {stmt.lineno}",
            "keep it in another variable, assigned before the loop",
        )
        return Flow.NEXT

    def while_loop(self, stmt: ast.While) -> Outcome:
        self._no_else(stmt)
        names = list(assigned(stmt.body))

        def attempt(trees: Trees) -> Trial:
            params, at_entry = self._params(trees)
            with self._body(at_entry), self.builder.scope(params) as scope:
                value = self.eval(stmt.test)
                with self.blame(stmt.test):
                    known = None if is_runtime(value) else bool(self.python("while", bool, value))
                    if known:
                        raise UnsupportedSyntaxError(
                            "while: condition: expected one that ends the loop, got one that is always true",
                            hint="put the condition of the `break` into the `while`",
                        )
                    self.at(stmt.test)
                    cond = scope.close() if known is False else None
                    if cond is None:
                        scalar = as_scalar_bool(cast(TileValue, value), "while: condition")
                        cond = scope.close((scalar.value,))
            if known is False:
                return Trial(scope, at_entry, at_entry, {}, cond, never=True)
            params, at_entry = self._params(trees)
            with self._body(at_entry), self.builder.scope(params) as scope:
                self.block(stmt.body)
                return Trial(scope, at_entry, self.frame.env, self.frame.sites, cond)

        trees, trial = self._settle("while", stmt, names, attempt)
        if trial.never:
            return Flow.NEXT
        inits = self._inits(trees)
        body = self._close(trees, trial)
        self.at(stmt)
        assert trial.cond is not None
        made = self.builder.emit(ir.While, tuple(v.type for v in inits), inits=inits, cond=trial.cond, body=body)
        self._leave(stmt, trees, trial, made.results, "while")
        return Flow.NEXT

    # --- the fixed point ------------------------------------------------------------------------------------

    def _settle(self, what: str, stmt: ast.For | ast.While, names: list[str], attempt: Attempt) -> tuple[Trees, Trial]:
        """Interpret the body until every carried variable ends it as it began; abandoned operations are dropped."""
        env = self.frame.env
        carried = [n for n in names if n in env and not isinstance(env[n], Undefined)]
        trees: Trees = {n: entry(env[n], self.weak) for n in carried}
        for _ in range(_ATTEMPTS):
            try:
                trial = attempt(trees)
            except Retype as e:
                if not any(leaf is e.leaf for tree in trees.values() for leaf in leaves(tree)):
                    raise
                trees = _with_dtype(trees, e.leaf, e.dtype)
                continue
            except NotConstantError as e:
                return self._as_constants(what, stmt, trees, attempt, e)
            if trial.never:
                return trees, trial
            updated = {n: self._updated(what, n, t, trial) for n, t in trees.items()}
            if all(updated[n] is t for n, t in trees.items()):
                return trees, trial
            trees = updated
        raise InternalError(f"{what}: the types of its variables do not settle", loc=self.frame.loc(stmt))

    def _as_constants(
        self, what: str, stmt: ast.For | ast.While, trees: Trees, attempt: Attempt, error: NotConstantError
    ) -> tuple[Trees, Trial]:
        """A Python scalar may be assigned in the body and yet be the constant that the body needs."""
        fixed = {
            n: swap(t, lambda leaf: leaf if leaf.weak is None or leaf.varies else Same(leaf.weak))
            for n, t in trees.items()
        }
        if all(fixed[n] is t for n, t in trees.items()):
            raise error
        try:
            trial = attempt(fixed)
            stable = not trial.never and all(self._updated(what, n, t, trial) is t for n, t in fixed.items())
        except (KernelError, Retype):
            stable = False
        if not stable:
            raise error
        return fixed, trial

    def _updated(self, what: str, name: str, tree: Tree, trial: Trial) -> Tree:
        """``tree`` as the end of the body wants it."""
        value, at_entry = trial.at_end[name], trial.at_entry[name]
        if isinstance(at_entry, Undefined):  # known to have no value here: the body did not need one
            return tree
        if isinstance(value, Undefined):
            return Same(value)
        try:
            return update(tree, value, at_entry)
        except Mismatch as e:
            began = self.frame.line(name)
            return Same(
                self.changed_type(
                    what,
                    f"`{name}`: its type changes in the loop",
                    f"{e.expected} as before the loop (line {began})",
                    e.got,
                    trial.sites.get(name, self.frame.source.node),
                    "convert it with astype(), or begin with the type that the loop gives: pk.zeros(shape, dtype)",
                )
            )

    # --- values in and out ----------------------------------------------------------------------------------

    def _params(self, trees: Trees) -> tuple[tuple[ir.Value, ...], dict[str, object]]:
        """Fresh block parameters for the leaves, and the variables made of them."""
        params: list[ir.Value] = []
        values: dict[str, object] = {}
        for name, tree in trees.items():
            own: list[ir.Value] = []
            for leaf in leaves(tree):
                own.append(ir.Value(leaf.type, name))
                origin = leaf if leaf.weak is not None else leaf.origin
                if origin is not None:
                    self.weak[own[-1]] = origin
            params += own
            values[name] = rebuild(tree, iter(own))
        return tuple(params), values

    @contextmanager
    def _body(self, at_entry: dict[str, object]) -> Iterator[None]:
        """Locals for one trial; those of the loop's surroundings come back afterwards."""
        frame = self.frame
        before, sites = frame.env, frame.sites
        frame.env, frame.sites = {**before, **at_entry}, dict(sites)
        frame.regions.append(Region.LOOP)
        try:
            yield
        finally:
            frame.env, frame.sites = before, sites
            frame.regions.pop()

    def _inits(self, trees: Trees) -> tuple[ir.Value, ...]:
        values: list[ir.Value] = []
        for name, tree in trees.items():
            flatten(tree, self.frame.env[name], values)
        return tuple(values)

    def _close(self, trees: Trees, trial: Trial) -> ir.Block:
        yields: list[ir.Value] = []
        with self.builder.reopen(trial.scope):
            for name, tree in trees.items():
                flatten(tree, trial.at_end[name], yields)
        return trial.scope.close(tuple(yields))

    def _leave(
        self, stmt: ast.For | ast.While, trees: Trees, trial: Trial, results: tuple[ir.Value, ...], what: str
    ) -> None:
        """Bind the results; what the body defined first ends with it."""
        left = iter(results)
        for name, tree in trees.items():
            self.bind(name, rebuild(tree, left), trial.sites.get(name, stmt))
        for name in assigned(stmt.body):
            if name not in trees:
                self.frame.env[name] = Undefined(
                    f"`{name}`: expected a value after the loop, got one only inside the `{what}` of line {stmt.lineno}",
                    f"assign `{name}` before the loop: it may run zero times",
                )
