"""The table of ATen overloads that our operators compute, whole: importing this module fills it."""

from __future__ import annotations

from typing import Any

from torch._ops import OpOverload

from . import indexing, norms, pointwise, pooling, products, reductions, shapes  # noqa: F401  # they register
from .rules import TABLE, kind_of, refusal

_WHY_NOT: dict[str, str] = {
    **dict.fromkeys(("nonzero", "masked_select", "unique_dim", "_unique2", "unique_consecutive"),
                    "the shape of the result depends on the elements"),
    **dict.fromkeys(("_fft_r2c", "_fft_c2r", "_fft_c2c"), "no Fourier transforms"),
}  # fmt: skip


def why_not(op: OpOverload, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Why a call of ``op`` is not covered, or nothing if it is (or launches nothing at all).

    ``args`` and ``kwargs`` hold real tensors or fake ones.

    >>> import torch
    >>> why_not(torch.ops.aten.relu.default, (torch.ones(2),), {})
    ''
    >>> why_not(torch.ops.aten.nonzero.default, (torch.ones(2),), {})
    'the shape of the result depends on the elements'
    """
    if kind_of(op) != "compute":
        return ""
    rule = TABLE.get(op)
    if rule is None:
        return _WHY_NOT.get(op._schema.name.rpartition("::")[2], "no operator")
    return refusal(rule, args, kwargs)


__all__ = ["TABLE", "kind_of", "why_not"]
