"""What is done to a block of a product before it is stored, and where a program finds its block."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import portkernel as pk

from ..activations import activate


@dataclass(frozen=True, slots=True)
class Fused:
    """A compile-time description. ``scale``, ``bias`` and ``residual`` say along which axes the operand varies:
    ``""``, ``"m"``, ``"n"`` or ``"mn"``; None where there is none. ``real``: integers are converted to float32 first.
    """

    alpha: bool = False
    beta: bool = False
    scale: str | None = None
    bias: str | None = None
    residual: str | None = None
    activation: str | Callable[[Any], Any] = "none"
    real: bool = False


NOTHING = Fused()


def batch_of(n, array, axes):
    """The index along the first ``axes`` axes of ``array`` of the ``n``-th matrix, the last axis running fastest."""
    found = ()
    for step in pk.static_range(axes):
        axis = axes - 1 - step
        if step == axes - 1:
            found = (n, *found)
        else:
            found = (n % array.shape[axis], *found)
            n = n // array.shape[axis]
    return found


def block(x, at, rows, cols, axes="mn"):
    """The tile ``(rows, cols)`` of the matrix at ``at[:-2]``, at block ``at[-2:]``; one row or column where x does not vary."""
    rows, i = (rows, at[-2]) if "m" in axes else (1, 0)
    cols, j = (cols, at[-1]) if "n" in axes else (1, 0)
    return pk.load(x, (*at[:-2], i, j), (*((1,) * (len(at) - 2)), rows, cols)).reshape(rows, cols)


def put(out, at, tile):
    """Store ``tile`` as the block ``at[-2:]`` of the matrix at ``at[:-2]``."""
    pk.store(out, at, tile.reshape(*((1,) * (len(at) - 2)), *tile.shape).astype(out.dtype))


def finish(acc, scale, bias, residual, out, alpha, beta, at, FUSED):
    """Store ``activation(alpha·acc·scale + beta·out + bias + residual)`` as block ``at`` of out, rounded to its dtype."""
    rows, cols = acc.shape
    if FUSED.real:
        acc = acc.astype(pk.float32)
    if FUSED.alpha:
        acc = acc * pk.astype(alpha, acc.dtype)
    if FUSED.scale is not None:
        acc = acc * block(scale, at, rows, cols, FUSED.scale).astype(acc.dtype)
    if FUSED.beta:
        acc = acc + block(out, at, rows, cols).astype(acc.dtype) * pk.astype(beta, acc.dtype)
    if FUSED.bias is not None:
        acc = acc + block(bias, at, rows, cols, FUSED.bias).astype(acc.dtype)
    if FUSED.residual is not None:
        acc = acc + block(residual, at, rows, cols, FUSED.residual).astype(acc.dtype)
    put(out, at, activate(acc, FUSED.activation))
