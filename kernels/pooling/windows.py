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


def windows_of(place, size, outputs, KERNEL, STRIDE, FRONT, ADAPTIVE):
    """First and one past the last coordinates of windows ``place`` along three axes: two triples."""
    z0, z1 = window_of(place[0], size[0], outputs[0], KERNEL[0], STRIDE[0], FRONT[0], ADAPTIVE)
    y0, y1 = window_of(place[1], size[1], outputs[1], KERNEL[1], STRIDE[1], FRONT[1], ADAPTIVE)
    x0, x1 = window_of(place[2], size[2], outputs[2], KERNEL[2], STRIDE[2], FRONT[2], ADAPTIVE)
    return (z0, y0, x0), (z1, y1, x1)


def first_window(y, size, outputs, stride, front, most, adaptive):
    """The first of the ``most`` windows that can hold coordinate ``y``; it may lie before 0."""
    if adaptive:
        return (y.astype(pk.int64) * outputs // size).astype(pk.int32)
    return (y + front) // stride - (most - 1)


def first_windows(place, size, outputs, STRIDE, FRONT, WINDOWS, ADAPTIVE):
    """The first of WINDOWS windows along three axes that can hold ``place``."""
    z0 = first_window(place[0], size[0], outputs[0], STRIDE[0], FRONT[0], WINDOWS[0], ADAPTIVE)
    y0 = first_window(place[1], size[1], outputs[1], STRIDE[1], FRONT[1], WINDOWS[1], ADAPTIVE)
    x0 = first_window(place[2], size[2], outputs[2], STRIDE[2], FRONT[2], WINDOWS[2], ADAPTIVE)
    return z0, y0, x0


def elements_of_windows(start, stop, size, BEHIND, PADDED):
    """Elements of windows from ``start`` to ``stop``: within the array, or with its padding BEHIND each axis too."""
    z = covered(start[0], stop[0], size[0], BEHIND[0], PADDED)
    y = covered(start[1], stop[1], size[1], BEHIND[1], PADDED)
    return z * y * covered(start[2], stop[2], size[2], BEHIND[2], PADDED)


def covered(start, stop, size, behind, padded):
    """Elements of a window along one axis."""
    if padded:
        return pk.minimum(stop, size + behind) - start
    return pk.minimum(stop, size) - pk.maximum(start, 0)
