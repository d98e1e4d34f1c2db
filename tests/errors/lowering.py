"""What tests of mistakes in a kernel share: types of arguments, and the form of the check."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from portkernel import dtypes as d
from portkernel import errors, ir

Types = Mapping[str, ir.Tensor | ir.Tile]
Check = Callable[..., errors.PortkernelError]


def array(rank: int, dtype: d.DType = d.float32) -> ir.Tensor:
    return ir.Tensor(rank, dtype, (None,) * rank, (None,) * (rank - 1) + (1,) if rank else ())


N = ir.Tile((), d.int32)
XON: Types = {"x": array(1), "out": array(1), "n": N}
