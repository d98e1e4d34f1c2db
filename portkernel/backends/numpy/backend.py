"""The NumPy backend: nothing to compile, so its text is the IR itself."""

from __future__ import annotations

from ...dtypes import DType
from ...ir import Func, Op, Tensor, print_func
from ...targets import Target
from ..base import Param, Source, Support


class NumpyBackend:
    """The reference. Every operation on every dtype runs, by definition."""

    name = "numpy"

    def supports(self, op: type[Op], dtype: DType, target: Target) -> Support:
        return Support("native")

    def emit(self, func: Func, target: Target) -> Source:
        """The printed tile IR; :func:`~portkernel.backends.numpy.execute` runs the function itself."""
        params = tuple(Param(p.hint, p.tensor if isinstance(p.type, Tensor) else p.tile) for p in func.params)
        return Source(print_func(func), func.name, self.name, target, params, suffix=".ir")
