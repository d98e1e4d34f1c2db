"""What a convolution does to its sums before it stores them: bias, residual, activation."""

from __future__ import annotations

import portkernel as pk

from ..activations import activate


def finished(acc, bias, residual, channel, place, keep, BIAS, RESIDUAL, ACTIVATION):
    """``activation(acc + bias[channel] + residual[place])``; ``channel`` broadcasts to the tile."""
    if BIAS:
        acc = acc + pk.gather(bias, (channel,)).astype(acc.dtype)
    if RESIDUAL:
        acc = acc + pk.gather(residual, place, mask=keep).astype(acc.dtype)
    return activate(acc, ACTIVATION)
