"""The only way to append operations. Language functions, passes and tests all build IR through it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from ..loc import UNKNOWN, Loc
from .core import Block, Op, OpT, Value
from .types import Type


@dataclass(slots=True)
class Scope:
    """A block under construction."""

    params: tuple[Value, ...]
    ops: list[Op] = field(default_factory=list)

    def close(self, yields: tuple[Value, ...] = ()) -> Block:
        return Block(self.params, tuple(self.ops), yields)


class Builder:
    """Appends operations to the innermost open scope, each at the current location."""

    def __init__(self) -> None:
        self.loc: Loc = UNKNOWN
        self._scopes: list[Scope] = []

    def emit(self, op: type[OpT], types: tuple[Type, ...], **fields: object) -> OpT:
        """Create ``op`` with fresh results of ``types`` and append it."""
        made = op(results=tuple(Value(t) for t in types), loc=self.loc, **fields)
        self.append(made)
        return made

    def append(self, op: Op) -> None:
        self._scopes[-1].ops.append(op)

    @contextmanager
    def scope(self, params: tuple[Value, ...] = ()) -> Iterator[Scope]:
        """Open a nested block; close it with ``scope.close(yields)`` after the ``with``."""
        opened = Scope(params)
        self._scopes.append(opened)
        try:
            yield opened
        finally:
            self._scopes.pop()

    def concrete(self, value: Value) -> NDArray[np.generic] | None:
        """What ``value`` holds, if this builder computes as it goes; None if it only records."""
        return None

    def call(self, fn: Callable[..., object], args: tuple[object, ...]) -> object:
        """Call a user's function from within an operation, as ``pk.reduce`` does with its combine function."""
        return fn(*args)

    @contextmanager
    def at(self, loc: Loc) -> Iterator[None]:
        before, self.loc = self.loc, loc
        try:
            yield
        finally:
            self.loc = before


_current: ContextVar[Builder | None] = ContextVar("portkernel_builder", default=None)


def current() -> Builder | None:
    """The builder of the kernel being lowered (or stepped through) in this thread, if any."""
    return _current.get()


@contextmanager
def use(builder: Builder) -> Iterator[Builder]:
    """Make ``builder`` the current one."""
    token = _current.set(builder)
    try:
        yield builder
    finally:
        _current.reset(token)
