"""A builder that computes as it goes: a kernel runs as plain Python, one program at a time, under ``pdb`` if need be."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from ...ir import Builder, Op, Tensor, Value
from .executor import Grid, Machine, bind


class EagerBuilder(Builder):
    """Executes each operation when it is emitted, for the program ``program`` of ``grid``.

    ``tensors`` gives the array (or the scalar) behind each parameter. Inside an open scope (the combine function of
    ``pk.reduce``) operations are recorded, as in any builder, and run when the operation that owns the scope is emitted.
    """

    def __init__(self, program: tuple[int, int, int], grid: Grid, tensors: Mapping[Value, object]) -> None:
        super().__init__()
        x, y, z = (np.array([axis], np.int64) for axis in program)
        self._machine = Machine(grid, (x, y, z), {p: bind(p, arg) for p, arg in tensors.items()})

    def append(self, op: Op) -> None:
        if self._scopes:
            super().append(op)
            return
        with np.errstate(all="ignore"):
            self._machine.step(op)

    def concrete(self, value: Value) -> NDArray[np.generic] | None:
        """The array that ``value`` holds, of the tile's shape; None for a value of an open scope."""
        found = self._machine.values.get(value)
        if found is None or isinstance(value.type, Tensor):
            return None
        return found.reshape(value.tile.shape)
