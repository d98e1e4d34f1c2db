"""Scaled dot product attention and its gradients: checks, views, launches."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import portkernel as pk
from portkernel.dtypes import bfloat16, bool_, float16, float32, float64
from portkernel.errors import ArgumentShapeError

from .. import arrays, fill
from ..arrays import View
from ..axes import copy_into
from .backward import delta_kernel, key_kernel, mask_kernel, query_kernel
from .forward import attention_kernel

DTYPES = (float32, float16, bfloat16, float64)


def scaled_dot_product_attention(
    query: Any, key: Any, value: Any, attn_mask: Any = None, *, is_causal: bool = False, scale: float | None = None,
    enable_gqa: bool = False, out: Any = None, return_lse: bool = False, backend: str | None = None,
    device: str | None = None,
) -> Any:  # fmt: skip
    """softmax(scale·query @ keyᵀ + mask) @ value, without storing the scores.

    query ``(…, H, S, D)``, key ``(…, G, T, D)``, value ``(…, G, T, E)``, any strides, result ``(…, H, S, E)``. G is H, or with
    ``enable_gqa`` a divisor of it: heads in a row share keys and values. Without a head axis, arrays are ``(S, D)`` and so on.
    ``attn_mask`` broadcasts to ``(…, H, S, T)``: bool (True: look there) or a float that is added. ``is_causal``: row i looks
    at columns 0 to i. ``scale`` is 1/√D by default. A row that may look nowhere gives 0.
    With ``return_lse`` also the logarithm of each row's sum of exponentials, ``(…, H, S)``, which the gradients need.

    dtypes: float32, float16, bfloat16, float64, the same for all. Scores, sums and lse are float32 (float64 for
    float64); weights are rounded to the dtype of value before they meet it. Error: sum of weights·|value| times
    (2·max|scale|·γ(D + 4)·(|query| @ |key|ᵀ) + (2·(|score| + T) + 60)·u + 2·(one rounding to the dtype)), then one rounding.
    The result has the type of query. Raises ArgumentTypeError, ArgumentDTypeError, ArgumentShapeError.
    """
    where = "scaled_dot_product_attention()"
    shape = _check(where, query, key, value, enable_gqa)
    dtype = pk.dtypes.as_dtype(query.dtype)
    mask = _mask(where, attn_mask, (*shape[:-1], key.shape[-2]))
    out = arrays.result(where, out, query, shape, (dtype,))
    lse = arrays.empty(query, shape[:-1], _wide(dtype))
    options = {"backend": backend, "device": device}
    views = [*map(arrays.view, (query, key, value)), mask, arrays.view(out), arrays.view(lse).insert(-1)]
    if 0 not in out.shape[:-1]:
        for part in _parts(views):
            _forward(*part, _scale(where, scale, query), is_causal, options)
    return (out, lse) if return_lse else out


def scaled_dot_product_attention_backward(
    grad: Any, query: Any, key: Any, value: Any, out: Any, lse: Any, attn_mask: Any = None, *, is_causal: bool = False,
    scale: float | None = None, enable_gqa: bool = False, backend: str | None = None, device: str | None = None,
) -> tuple[Any, Any, Any]:  # fmt: skip
    """The gradients for query, key and value, given ``grad`` for the result ``out``; ``lse`` is what ``return_lse`` gave.

    Other arguments, dtypes and errors as of :func:`scaled_dot_product_attention`; grad and out have the dtype of query.
    Accumulates as that does, with the slopes of the scores rounded to the dtype before they meet query and key; sums in
    a fixed order. Error: see ``reference.gradient_bounds``, first order in the errors of weights, of grad @ valueᵀ and of out.
    """
    where = "scaled_dot_product_attention_backward()"
    shape, dtype = _check_backward(where, grad, query, key, value, out, lse, enable_gqa)
    mask = _mask(where, attn_mask, (*shape[:-1], key.shape[-2]))
    found = tuple(arrays.empty(query, tuple(x.shape), dtype) for x in (query, key, value))
    delta = arrays.empty(query, shape[:-1], _wide(dtype))
    options = {"backend": backend, "device": device}
    views = [*map(arrays.view, (grad, query, key, value, out)), mask]
    views += [arrays.view(lse).insert(-1), arrays.view(delta).insert(-1), *map(arrays.view, found)]
    for part in _parts(views):
        _backward(*part, _scale(where, scale, query), is_causal, options)
    return found


def scaled_dot_product_attention_mask_gradient(
    grad: Any, query: Any, key: Any, value: Any, result: Any, lse: Any, attn_mask: Any, *, is_causal: bool = False,
    scale: float | None = None, enable_gqa: bool = False, out: Any = None, backend: str | None = None,
    device: str | None = None,
) -> Any:  # fmt: skip
    """The gradient for a float ``attn_mask``, of its shape and dtype: the slopes of the scores, summed where it repeats.

    Arguments as of :func:`scaled_dot_product_attention_backward`, whose ``out`` is ``result`` here. Only what a mask of this shape holds is stored: one that
    heads share takes no matrix for each head. Sums run in a fixed order, in float32 (float64 for float64), and are
    rounded once. Error: see ``reference.mask_gradient_bound``. Raises ArgumentDTypeError for a bool mask, which has none.
    """
    where = "scaled_dot_product_attention_mask_gradient()"
    shape, dtype = _check_backward(where, grad, query, key, value, result, lse, enable_gqa, "result")
    own = arrays.dtype_of(f"{where}: attn_mask", attn_mask, DTYPES)
    scores = (*shape[:-1], key.shape[-2])
    mask = _mask(where, attn_mask, scores)
    assert mask is not None
    options = {"backend": backend, "device": device}
    given = arrays.result(where, out, query, tuple(attn_mask.shape), (own,))
    found = fill.zeros(tuple(attn_mask.shape), _wide(dtype), like=query, **options)
    delta = arrays.empty(query, shape[:-1], _wide(dtype))
    views = [*map(arrays.view, (grad, query, key, value, result)), mask, _mask(where, found, scores)]
    views += [arrays.view(lse).insert(-1), arrays.view(delta).insert(-1)]
    if 0 not in scores:
        for part in _parts(views):
            _mask_gradient(*part, _scale(where, scale, query), is_causal, options)
    copy_into(given, found, **options)
    return given


# --- checks -------------------------------------------------------------------------------------------------


def _wide(dtype: pk.DType) -> pk.DType:
    return float64 if dtype == float64 else float32


def _scale(where: str, scale: float | None, query: Any) -> float:
    return (
        float(arrays.number(f"{where}: scale", scale)) if scale is not None else 1 / math.sqrt(max(1, query.shape[-1]))
    )


def _check(where: str, query: Any, key: Any, value: Any, grouped: bool) -> arrays.Shape:
    """The shape of the result."""
    dtype = arrays.dtype_of(f"{where}: query", query, DTYPES)
    q = tuple(query.shape)
    if len(q) < 2:
        raise ArgumentShapeError(f"{where}: query: expected at least 2 dimensions, got shape {q}")
    for name, x in (("key", key), ("value", value)):
        arrays.dtype_of(f"{where}: {name}", x, (dtype,))
        shape = tuple(x.shape)
        heads = grouped and len(q) > 2 and len(shape) == len(q) and shape[-3] > 0 and q[-3] % shape[-3] == 0
        lead = (*q[:-3], shape[-3]) if heads else q[:-2]
        if len(shape) != len(q) or shape[:-2] != lead:
            hint = "pass enable_gqa=True to share heads" if not grouped else ""
            raise ArgumentShapeError(f"{where}: {name}: expected shape {(*lead, 'T', 'D')}, got {shape}", hint=hint)
    k, v = tuple(key.shape), tuple(value.shape)
    if k[-1] != q[-1] or k[-1] < 1:
        raise ArgumentShapeError(f"{where}: key: expected {q[-1]} features, at least 1, as query has; got shape {k}")
    if v[:-1] != k[:-1] or v[-1] < 1:
        raise ArgumentShapeError(f"{where}: value: expected shape {(*k[:-1], 'E')}, got {v}")
    return (*q[:-1], v[-1])


def _check_backward(
    where: str, grad: Any, query: Any, key: Any, value: Any, out: Any, lse: Any, grouped: bool, called: str = "out"
) -> tuple[arrays.Shape, pk.DType]:
    """The shape of the result ``out``, which messages call ``called``, and its dtype."""
    shape, dtype = _check(where, query, key, value, grouped), pk.dtypes.as_dtype(query.dtype)
    for name, x in (("grad", grad), (called, out)):
        arrays.dtype_of(f"{where}: {name}", x, (dtype,))
        if tuple(x.shape) != shape:
            raise ArgumentShapeError(f"{where}: {name}: expected shape {shape}, got {tuple(x.shape)}")
    arrays.dtype_of(f"{where}: lse", lse, (_wide(dtype),))
    if tuple(lse.shape) != shape[:-1]:
        raise ArgumentShapeError(f"{where}: lse: expected shape {shape[:-1]}, got {tuple(lse.shape)}")
    return shape, dtype


def _mask(where: str, mask: Any, shape: arrays.Shape) -> View | None:
    """The mask along the axes of the scores, of length 1 in the last two where it does not vary."""
    if mask is None:
        return None
    arrays.dtype_of(f"{where}: attn_mask", mask, (bool_, *DTYPES))
    given = tuple(mask.shape)
    fits = zip(given[::-1], shape[::-1], strict=False)
    if len(given) > len(shape) or any(n not in (1, m) for n, m in fits):
        raise ArgumentShapeError(f"{where}: attn_mask: expected a shape that broadcasts to {shape}, got {given}")
    found = arrays.view(mask)
    while found.ndim < len(shape):
        found = found.insert(0)
    return found.broadcast((*shape[:-2], *found.shape[-2:]))


# --- launches -----------------------------------------------------------------------------------------------


def _parts(views: list[View | None]) -> list[list[View | None]]:
    """The views with four axes each, leading ones merged; several lists where they do not merge."""
    have = [v for v in views if v is not None]
    while have[0].ndim < 4:
        have = [v.insert(0) for v in have]
    if have[0].ndim > 4:
        merged = arrays.merge(0, have[0].ndim - 3, *have)
        if merged is None:
            slices = (
                [None if v is None else arrays.view(v.array()[n]) for v in views] for n in range(have[0].shape[0])
            )
            return [part for some in slices for part in _parts(some)]
        have = list(merged)
    rest = iter(have)
    return [[None if v is None else next(rest) for v in views]]


@dataclass(frozen=True, slots=True)
class _Mask:
    array: Any
    constants: dict[str, object]


def _masking(mask: View | None, spare: Any, s: int, t: int) -> _Mask:
    """The mask's array, or a spare one that is not read, and what the kernels are told of it."""
    if mask is None:
        return _Mask(spare, {"MASK": "none"})
    axes = ("m" if mask.shape[2] > 1 or s == 1 else "") + ("n" if mask.shape[3] > 1 or t == 1 else "")
    kind = "bool" if pk.dtypes.as_dtype(mask.base.dtype) == bool_ else "add"
    return _Mask(mask.array(), {"MASK": kind, "AXES": axes})


def _sides(s: int, t: int) -> dict[str, int]:
    """Sides of tiles for short sequences; the kernels' own for others."""
    return {name: pk.next_power_of_2(n) for name, n in (("BM", s), ("BN", t)) if n <= 32}


def _forward(
    query: View, key: View, value: View, mask: View | None, out: View, lse: View, scale: float, causal: bool,
    options: dict[str, Any],
) -> None:  # fmt: skip
    batch, heads, s, depth = query.shape
    q, k, v, o = (x.array() for x in (query, key, value, out))
    with_mask = _masking(mask, q, s, key.shape[2])
    attention_kernel[lambda meta: (pk.cdiv(s, meta["BM"]) * heads * batch,)](
        q, k, v, with_mask.array, o, lse.drop(-1).array(), scale,
        HEAD=depth, VALUE=value.shape[3], CAUSAL=causal, **with_mask.constants, **_sides(s, key.shape[2]), **options,
    )  # fmt: skip


def _backward(
    grad: View, query: View, key: View, value: View, out: View, mask: View | None, lse: View, delta: View, dq: View,
    dk: View, dv: View, scale: float, causal: bool, options: dict[str, Any],
) -> None:  # fmt: skip
    batch, heads, s, depth = query.shape
    shared, t = key.shape[1:3]
    g, q, k, v, o = (x.array() for x in (grad, query, key, value, out))
    sums, means = lse.drop(-1).array(), delta.drop(-1).array()
    width = value.shape[3]
    with_mask = _masking(mask, q, s, t)
    constants: dict[str, Any] = {
        "HEAD": depth,
        "VALUE": width,
        "CAUSAL": causal,
        **with_mask.constants,
        **_sides(s, t),
        **options,
    }
    by_query = lambda meta: (pk.cdiv(s, meta["BM"]) * heads * batch,)  # noqa: E731
    delta_kernel[by_query](g, o, means, VALUE=width, **options)
    inputs = (g, q, k, v, with_mask.array, sums, means)
    query_kernel[by_query](*inputs, dq.array(), scale, **constants)
    by_key = lambda meta: (pk.cdiv(t, meta["BN"]) * shared * batch,)  # noqa: E731
    key_kernel[by_key](*inputs, dk.array(), dv.array(), scale, **constants)


def _mask_gradient(
    grad: View, query: View, key: View, value: View, out: View, mask: View, found: View, lse: View, delta: View,
    scale: float, causal: bool, options: dict[str, Any],
) -> None:  # fmt: skip
    """Add to ``found``, a view of the mask's gradient that repeats it like the mask, of length 1 where it does not vary."""
    batch, heads, s, depth = query.shape
    t, width = key.shape[2], value.shape[3]
    g, o, means = grad.array(), out.array(), delta.drop(-1).array()
    delta_kernel[lambda meta: (pk.cdiv(s, meta["BM"]) * heads * batch,)](g, o, means, VALUE=width, **options)
    q = query.array()
    told = _masking(mask, q, s, t)
    axes = str(told.constants["AXES"])
    lead = tuple(1 if step == 0 else n for n, step in zip(found.shape[:2], found.strides[:2], strict=True))
    target = replace(found, shape=(*lead, *found.shape[2:])).array()
    rows, cols = (s if "m" in axes else 1), (t if "n" in axes else 1)

    def grid(meta: dict[str, int]) -> tuple[int]:
        tall, wide = pk.cdiv(rows, meta["BM"]), pk.cdiv(cols, meta["BN"])
        return (math.prod(lead) * tall * wide,)

    mask_kernel[grid](
        g, q, key.array(), value.array(), told.array, lse.drop(-1).array(), means, target, scale,
        HEAD=depth, VALUE=width, CAUSAL=causal, AXES=axes, **_sides(s, t), **options,
    )  # fmt: skip
