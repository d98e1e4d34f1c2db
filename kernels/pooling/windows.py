"""Where the windows of a pooling lie: shared by its kernels, forward and backward."""

from __future__ import annotations

import portkernel as pk


def window_of(o, size, outputs, kernel, stride, front, adaptive):
    """First and one past the last coordinate of windows ``o`` along one axis, outside the array too.

    Adaptive windows divide ``size`` elements into ``outputs`` overlapping shares: from floor(o·size / outputs) to
    ceil((o + 1)·size / outputs).
    """
    if adaptive:
        wide = o.astype(pk.int64)
        return (wide * size // outputs).astype(pk.int32), pk.cdiv((wide + 1) * size, outputs).astype(pk.int32)
    start = o * stride - front
    return start, start + kernel


def first_window(y, size, outputs, stride, front, most, adaptive):
    """The first of the ``most`` windows that can hold coordinate ``y``; it may lie before 0."""
    if adaptive:
        return (y.astype(pk.int64) * outputs // size).astype(pk.int32)
    return (y + front) // stride - (most - 1)


def covered(start, stop, size, behind, padded):
    """Elements of the window from ``start`` to ``stop``: within the array, or with its padding too."""
    if padded:
        return pk.minimum(stop, size + behind) - start
    return pk.minimum(stop, size) - pk.maximum(start, 0)
