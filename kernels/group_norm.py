"""Group normalisation, and its gradients."""

from __future__ import annotations

import portkernel as pk
from portkernel.errors import ArgumentShapeError

from .arrays import dtype_of, empty, integer, number, result, strides_of
from .axes import broadcast, view
from .fold import FLOATS, Array
from .row_norm import input_gradient, normalize, weight_gradients


def _grouped(where: str, x: Array, groups: int) -> Array:
    """x ``(N, C, …)`` as ``(N, groups, C / groups, …)``, on the same memory."""
    shape, steps = tuple(int(n) for n in x.shape), strides_of(x)
    if len(shape) < 2:
        raise ArgumentShapeError(f"{where}: x: expected at least 2 dimensions, (N, C, …), got {len(shape)}")
    groups = integer(f"{where}: num_groups", groups)
    if groups < 1 or shape[1] % groups:
        raise ArgumentShapeError(f"{where}: num_groups: expected a divisor of {shape[1]} channels, got {groups}")
    each = shape[1] // groups
    return view(x, (shape[0], groups, each, *shape[2:]), (steps[0], steps[1] * each, steps[1], *steps[2:]))


def _affine(where: str, name: str, value: Array | None, x: Array) -> Array | None:
    """A weight or bias ``(C,)`` repeated to the shape of the grouped x."""
    if value is None:
        return None
    _, groups, each = (int(n) for n in x.shape[:3])
    dtype_of(f"{where}: {name}", value, FLOATS)
    if tuple(value.shape) != (groups * each,):
        raise ArgumentShapeError(f"{where}: {name}: expected shape {(groups * each,)}, got {tuple(value.shape)}")
    step = strides_of(value)[0]
    last = len(x.shape) - 3
    split = view(value, (groups, each) + (1,) * last, (step * each, step) + (0,) * last)
    return broadcast(split, x.shape, f"{where}: {name}")


def group_norm(
    x: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5, *,
    out: Array | None = None, backend: str | None = None, device: str | None = None,
) -> Array:  # fmt: skip
    """``torch.nn.functional.group_norm`` of x ``(N, C, …)``: each of ``num_groups`` groups of channels normalised.

    Any strides; weight and bias are ``(C,)``. Accumulation and error as in ``layer_norm`` (Wu and He 2018).
    """
    where, route = "group_norm()", {"backend": backend, "device": device}
    dtype = dtype_of(f"{where}: x", x, FLOATS)
    g = _grouped(where, x, num_groups)
    w, b = (_affine(where, name, t, g) for name, t in (("weight", weight), ("bias", bias)))
    out = result(where, out, x, tuple(int(n) for n in x.shape), (dtype,))
    inner = tuple(range(2, len(g.shape)))
    normalize(g, w, b, _grouped(where, out, num_groups), inner, number(f"{where}: eps", eps), False, route)
    return out


def group_norm_gradient(
    grad: Array, x: Array, num_groups: int, weight: Array | None = None, eps: float = 1e-5, *,
    backend: str | None = None, device: str | None = None,
) -> tuple[Array, Array, Array]:  # fmt: skip
    """The gradients for x, weight and bias, from that for the result. As ``layer_norm_gradient``."""
    where, route = "group_norm_gradient()", {"backend": backend, "device": device}
    dtype = dtype_of(f"{where}: x", x, FLOATS)
    dtype_of(f"{where}: grad", grad, (dtype,))
    shape = tuple(int(n) for n in x.shape)
    if tuple(grad.shape) != shape:
        raise ArgumentShapeError(f"{where}: grad: expected the shape of x, {shape}, got {tuple(grad.shape)}")
    number(f"{where}: eps", eps)
    g = _grouped(where, x, num_groups)
    w = _affine(where, "weight", weight, g)
    dx = empty(x, shape, dtype)
    stored: pk.DType = dtype if weight is None else dtype_of(where, weight)
    dg = _grouped(where, grad, num_groups)
    inner = tuple(range(2, len(g.shape)))
    means, scales = input_gradient(dg, g, w, _grouped(where, dx, num_groups), inner, eps, False, route)
    outs = tuple(empty(x, (shape[1],), stored) for _ in range(2))
    split = tuple(view(t, (num_groups, shape[1] // num_groups), (shape[1] // num_groups, 1)) for t in outs)
    weight_gradients(dg, g, means, scales, (0, *inner[1:]), split, route)
    return dx, *outs
