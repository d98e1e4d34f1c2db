"""A kernel function: its parameters, and its IR for given types and constants."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from types import FunctionType

from .. import ir
from ..errors import ArgumentError, CallError, KernelError, UnsupportedSyntaxError
from ..lang import TensorValue, TileValue
from .names import GlobalRead
from .signature import ParamSpec, parameters
from .source import FunctionSource, find


class KernelFn:
    """The front-end's view of a decorated function. Making one reads no file."""

    __slots__ = ("fn", "globals_read", "name", "params")

    def __init__(self, fn: FunctionType) -> None:
        if not inspect.isfunction(fn):
            raise CallError(f"kernel(): fn: expected a function, got {type(fn).__name__}")
        self.fn = fn
        self.name: str = fn.__name__
        self.params: tuple[ParamSpec, ...] = parameters(fn)
        self.globals_read: tuple[GlobalRead, ...] = ()
        """The globals that went into what was lowered so far, but for modules."""

    @property
    def source(self) -> FunctionSource:
        """The text of the function."""
        return find(self.fn)

    def lower(self, types: Mapping[str, ir.Tensor | ir.Tile], constants: Mapping[str, object]) -> ir.Func:
        """The tile IR for arguments of ``types`` (one for each run-time parameter) and compile-time ``constants``.

        Raises a :class:`~portkernel.errors.KernelError` at the place of a mistake in the kernel's text.
        """
        from .frame import (
            Frame,
            Return,
            Tracer,
            closure_cells,
        )  # which a kernel that an earlier process lowered does not need
        from .loops import Interpreter

        source = find(self.fn)
        env: dict[str, object] = {}
        params: list[ir.Value] = []
        fixed: list[tuple[str, object]] = []
        for p in self.params:
            if p.name in types:
                value = ir.Value(types[p.name], p.name)
                params.append(value)
                env[p.name] = TensorValue(value) if isinstance(value.type, ir.Tensor) else TileValue(value)
            elif p.name in constants:
                env[p.name] = constants[p.name]
                fixed.append((p.name, constants[p.name]))
            else:
                raise ArgumentError(f"{self.name}(): {p.name}: expected an argument, got none")
        frame = Frame(source, env, closure_cells(self.fn), self.fn.__globals__)
        builder = Tracer()
        machine = Interpreter(builder, frame)
        builder.inline = machine.inline
        with ir.use(builder), builder.scope() as body:
            try:
                outcome = machine.run()
            except KernelError as e:
                raise e.with_traceback(None)  # noqa: B904  # the user's own place is in the message; ours are noise
        self.note(machine.globals_read)
        if isinstance(outcome, Return) and outcome.value is not None and outcome.node is not None:
            raise UnsupportedSyntaxError(
                f"{self.name}(): expected a kernel that returns nothing, got a result",
                loc=frame.loc(outcome.node),
                hint="write results to an array argument with pk.store()",
            )
        return ir.Func(self.name, tuple(params), body.close(), tuple(fixed), frame.loc(source.node))

    def note(self, reads: Mapping[tuple[int, str], tuple[Mapping[str, object], str, object]]) -> None:
        """Add globals that a kernel holds, by namespace and name. An older value stays: something compiled with it may be about."""
        known = {(id(space), name) for space, name, _ in self.globals_read}
        self.globals_read += tuple(GlobalRead(*g) for key, g in reads.items() if key not in known)
