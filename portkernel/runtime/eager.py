"""``kernel.eager[grid](...)``: the kernel as plain Python on NumPy, one program at a time, under ``pdb`` if need be."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import targets
from ..dtypes import Scalar
from ..errors import ArgumentError, DeviceMismatchError, PortkernelError
from ..ir import Tensor, Value, use
from ..lang import Auto, TensorValue, TileValue
from ..loc import UNKNOWN, Loc
from .arguments import HOST
from .binding import Typed, bind, type_arguments
from .checks import Grid, grid_of
from .plan import GridLike
from .programs import configured

if TYPE_CHECKING:
    from .kernel import Kernel

_USUAL = 32
"""The side that an automatic block size takes here: results do not depend on it, and small tiles print well."""
_PACKAGE = str(Path(__file__).parent.parent)


class Eager:
    """What ``kernel.eager`` is; index it with a grid."""

    def __init__(self, kernel: Kernel) -> None:
        self.kernel = kernel

    def __getitem__(self, grid: GridLike) -> EagerLauncher:
        return EagerLauncher(self.kernel, grid)


class EagerLauncher:
    """An eager launch: call it with the arguments of the kernel, arrays on the host."""

    def __init__(self, kernel: Kernel, grid: GridLike) -> None:
        self.kernel = kernel
        self.grid = grid

    def __call__(self, /, *args: Any, **kwargs: Any) -> None:
        name, params = self.kernel.name, self.kernel.parsed.params
        bound = bind(name, params, args, kwargs, self.kernel.configs)
        if bound.backend is not None or bound.device is not None:
            raise ArgumentError(f"{name}.eager(): expected no backend= or device=, got one", hint="it runs on NumPy")
        typed = type_arguments(name, bound.runtime)
        for argument, ref in typed.refs.items():
            if ref.device != HOST:
                raise DeviceMismatchError(
                    f"{name}.eager(): {argument}: expected a host array, got one on {ref.device}", hint="copy it first"
                )
        chosen = configured(name, bound, self.kernel.configs[0] if self.kernel.configs else None).constants
        constants = {n: min(max(_USUAL, v.low), v.high) if isinstance(v, Auto) else v for n, v in chosen.items()}
        grid = self.grid(dict(constants)) if callable(self.grid) else self.grid
        self._run(grid_of(grid, name, targets.find("numpy").max_grid), typed, constants)

    def _run(self, grid: Grid, typed: Typed, constants: Mapping[str, object]) -> None:
        from ..backends.numpy import EagerBuilder

        formal = {name: Value(kind, name) for name, kind in typed.types.items()}
        actual: dict[Value, np.ndarray[Any, Any] | Scalar] = {
            value: typed.refs[name].numpy() if name in typed.refs else typed.values[name]
            for name, value in formal.items()
        }
        wrapped: dict[str, Any] = {
            name: TensorValue(value) if isinstance(value.type, Tensor) else TileValue(value)
            for name, value in formal.items()
        }
        x, y, z = (range(n) for n in grid)
        values = {**wrapped, **constants}
        parameters = inspect.signature(self.kernel.fn).parameters.values()
        args = [values.pop(p.name) for p in parameters if p.kind is p.POSITIONAL_ONLY]
        for program in itertools.product(x, y, z):
            with use(EagerBuilder(program, grid, actual)):
                try:
                    self.kernel.fn(*args, **values)
                except PortkernelError as e:
                    raise e.at(_place(e.__traceback__)) from None


def _place(trace: TracebackType | None) -> Loc:
    """Where the user's code stands that an error came through last."""
    found = UNKNOWN
    while trace is not None:
        code = trace.tb_frame.f_code
        if not code.co_filename.startswith(_PACKAGE):
            line, end_line, col, end_col = next(itertools.islice(code.co_positions(), trace.tb_lasti // 2, None))
            found = Loc(code.co_filename, line or trace.tb_lineno, col or 0, end_line or 0, end_col or 0, code.co_name)
        trace = trace.tb_next
    return found
