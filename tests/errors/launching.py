"""Kernels to launch, and what a refusal must look like."""

from __future__ import annotations

import numpy as np
import pytest

import portkernel as pk
from portkernel import errors


@pk.kernel
def add(x, y, out, B: pk.constexpr[int] = 64):
    i = pk.program_id(0)
    pk.store(out, (i,), pk.load(x, (i,), (B,)) + pk.load(y, (i,), (B,)))


@pk.kernel
def scale(x, factor, out, B: pk.constexpr[int] = 64):
    i = pk.program_id(0)
    pk.store(out, (i,), (pk.load(x, (i,), (B,)) * factor).astype(out.dtype))


@pk.kernel
def in_place(x, B: pk.constexpr[int] = 64):
    i = pk.program_id(0)
    pk.store(x, (i,), pk.load(x, (i,), (B,)) + 1)


def arrays(n: int = 100) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    x = np.arange(n, dtype=np.float32)
    return x, x + 1, np.full(n, -7, np.float32)


def refused(error: type[Exception], message: str, kernel=add, args=None, grid=(2,), **kwargs) -> errors.PortkernelError:
    """The launch raises ``error`` with ``message`` in it, and writes to no array."""
    args = arrays() if args is None else args
    before = [a.copy() for a in args if isinstance(a, np.ndarray)]
    kwargs.setdefault("backend", "numpy")
    with pytest.raises(error) as caught:
        kernel[grid](*args, **kwargs)
    assert type(caught.value) is error
    assert message in caught.value.message
    after = [a for a in args if isinstance(a, np.ndarray)]
    for old, new in zip(before, after, strict=True):
        assert old.tobytes() == new.tobytes()
    return caught.value
