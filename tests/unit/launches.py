"""Kernels to launch, and a cache that is empty."""

from __future__ import annotations

import numpy as np

import portkernel as pk


@pk.kernel
def add(x, y, out, B: pk.constexpr[int] = 64):
    i = pk.program_id(0)
    pk.store(out, (i,), pk.load(x, (i,), (B,)) + pk.load(y, (i,), (B,)))


@pk.kernel
def scale(x, factor, out, B: pk.constexpr[int] = pk.auto(16, 256)):
    """Scales rows of a matrix."""
    i, j = pk.program_id(0), pk.program_id(1)
    pk.store(out, (i, j), (pk.load(x, (i, j), (1, B)) * factor).astype(out.dtype))


def run_add(kernel=add, n=1000, **kwargs):
    x = np.arange(n, dtype=np.float32)
    out = np.full(n, -7, np.float32)
    kernel[lambda meta: pk.cdiv(n, meta["B"])](x, 2 * x, out, **kwargs)
    np.testing.assert_array_equal(out, 3 * x)


def copy_of(kernel):
    """The same kernel with nothing compiled yet."""
    return pk.kernel(kernel.fn)
