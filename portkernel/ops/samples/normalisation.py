"""Samples of normalisations and of their gradients."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np

from ...catalog import exact, gamma, rounding, sample
from ...dtypes import DType
from ..library import module
from .elementwise import stored, working
from .sample import Array, Maker, Sample, sample_of

Axes = tuple[int, ...]


def _wide(x: Array) -> Array:
    return exact(x).astype(np.float64)


def _rows(
    rms: bool, dtype: DType, rng: np.random.Generator
) -> Iterator[tuple[str, Array, Axes, Array | None, Array | None, str]]:
    """x, the axes that are normalised, weight, bias."""
    for label, shape, last, affine, features in (
        ("plain", (5, 65), 1, False, ""), ("weight", (5, 65), 1, True, "affine"),
        ("two axes", (3, 4, 5), 2, True, "affine axis"), ("transposed", (65, 5), 1, False, "transposed"),
    ):  # fmt: skip
        x = sample(rng, shape, dtype)
        x = x.T if label == "transposed" else x
        axes = tuple(range(x.ndim - last, x.ndim))
        inner = x.shape[x.ndim - last :]
        weight, bias = (sample(rng, inner, dtype) if affine else None for _ in range(2))
        yield label, x, axes, weight, None if rms else bias, features


def _row_norm(rms: bool, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    norm = module("row_norm")
    for label, x, axes, weight, bias, features in _rows(rms, dtype, rng):
        given = (x, tuple(x.shape[a] for a in axes), *(() if weight is None else (weight,) if rms else (weight, bias)))
        facts = (
            _wide(x),
            1.0 if weight is None else _wide(weight),
            0.0 if bias is None else _wide(bias),
            axes,
            1e-5,
            rms,
        )
        yield sample_of(
            label, given, {"eps": 1e-5}, lambda facts=facts: norm.reference_norm(*facts),
            lambda _, facts=facts: norm.norm_bound(*facts, stored(dtype)), features,
        )  # fmt: skip


def grouped(x: Array, groups: int) -> Array:
    return x.reshape(x.shape[0], groups, -1)


def _group_norm(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    norm = module("row_norm")
    for label, groups, affine, features in (("plain", 2, False, "groups"), ("weight", 3, True, "groups affine")):
        x = sample(rng, (2, 6, 5, 7), dtype)
        weight, bias = (sample(rng, (6,), dtype) if affine else None for _ in range(2))
        scale, shift = (
            plain if v is None else np.broadcast_to(_wide(v)[None, :, None, None], x.shape).reshape(2, groups, -1)
            for plain, v in ((1.0, weight), (0.0, bias))
        )
        facts = (grouped(_wide(x), groups), scale, shift, (2,), 1e-5, False)
        yield sample_of(
            label, (x, groups, *(() if weight is None else (weight, bias))), {},
            lambda facts=facts, shape=x.shape: norm.reference_norm(*facts).reshape(shape),
            lambda _, facts=facts, shape=x.shape: norm.norm_bound(*facts, stored(dtype)).reshape(shape), features,
        )  # fmt: skip


def _batch_norm(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    norm = module("row_norm")
    x = sample(rng, (3, 4, 5, 6), dtype)
    weight, bias, mean = (sample(rng, (4,), dtype) for _ in range(3))
    var = (np.abs(_wide(sample(rng, (4,), dtype))) + 0.5).astype(dtype.np)
    w, b, m, v = (_wide(t)[None, :, None, None] for t in (weight, bias, mean, var))
    wide = _wide(x)

    def given(_: Array) -> Array:
        size = (np.abs(wide) + np.abs(m)) / np.sqrt(v + 1e-5) * np.abs(w) + np.abs(b)
        return 12 * working(dtype).eps * size + rounding((wide - m) / np.sqrt(v + 1e-5) * w + b, stored(dtype))

    yield sample_of(
        "given statistics", (x, mean, var, weight, bias), {}, lambda: (wide - m) / np.sqrt(v + 1e-5) * w + b, given,
        "affine",
    )  # fmt: skip
    facts = (wide, w, b, (0, 2, 3), 1e-5, False)
    yield sample_of(
        "batch statistics", (x, None, None, weight, bias), {"training": True}, lambda: norm.reference_norm(*facts),
        lambda _: 2 * norm.norm_bound(*facts, stored(dtype)), "affine training",
    )  # fmt: skip


# --- gradients ----------------------------------------------------------------------------------------------


def _backward(grad: Array, x: Array, weight: Any, axes: Axes, eps: float, rms: bool) -> tuple[Array, Array, Array]:
    """The gradient for x, and the terms of those for weight and bias, in float64; then how large the parts of dx are."""
    centred = x if rms else x - x.mean(axis=axes, keepdims=True)
    scale = 1 / np.sqrt((centred**2).mean(axis=axes, keepdims=True) + eps)
    normal, g = centred * scale, grad * weight
    mean = 0 if rms else g.mean(axis=axes, keepdims=True)
    dx = scale * (g - mean - normal * (g * normal).mean(axis=axes, keepdims=True))
    size = np.abs(g)
    parts = size + size.mean(axis=axes, keepdims=True)
    parts = parts + np.abs(normal) * (size * np.abs(normal)).mean(axis=axes, keepdims=True)
    return dx, grad * normal, scale * parts


def _gradient(
    label: str, args: tuple[Any, ...], options: dict[str, Any], grad: Array, x: Array, weight: Any, axes: Axes,
    others: Axes, rms: bool, dtype: DType, shape: tuple[int, ...], features: str,
) -> Sample:  # fmt: skip
    """dx, dweight and, unless ``rms``, dbias; the sums of the latter run over ``others``."""
    wide, count = working(dtype), int(np.prod([x.shape[a] for a in axes]))
    rows = int(np.prod([x.shape[a] for a in others]))

    def reference() -> tuple[Array, ...]:
        dx, terms, _ = _backward(grad, x, weight, axes, 1e-5, rms)
        sums = (terms.sum(axis=others), *(() if rms else (grad.sum(axis=others),)))
        return dx.reshape(shape), *sums

    def bound(*want: Array) -> tuple[Array, ...]:
        _, terms, parts = _backward(grad, x, weight, axes, 1e-5, rms)
        centred = 0 if rms else np.abs(x).mean(axis=axes, keepdims=True) * np.sqrt(1 / 1e-5)
        size = np.abs(terms) + np.abs(grad)
        spread = np.minimum(centred, 64) if not rms else 0
        of_x = gamma(4 * count + 64, wide) * (1 + spread) * parts
        of_weight = gamma(rows + 4 * count + 64, wide) * ((1 + spread) * size).sum(axis=others)
        sums = (of_weight, *(() if rms else (gamma(rows + 2, wide) * np.abs(grad).sum(axis=others),)))
        errors = (of_x.reshape(shape), *sums)
        return tuple(e + rounding(w, stored(dtype)) for e, w in zip(errors, want, strict=True))

    return sample_of(label, args, options, reference, bound, features)


def _row_gradient(rms: bool, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, x, axes, weight, _, features in _rows(rms, dtype, rng):
        grad = sample(rng, x.shape, dtype)
        others = tuple(a for a in range(x.ndim) if a not in axes)
        args = (grad, x, tuple(x.shape[a] for a in axes), *(() if weight is None else (weight,)))
        yield _gradient(
            label, args, {"eps": 1e-5}, _wide(grad), _wide(x), 1.0 if weight is None else _wide(weight), axes, others,
            rms, dtype, x.shape, features,
        )  # fmt: skip


def _group_gradient(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    x, grad, weight = sample(rng, (2, 6, 5, 7), dtype), sample(rng, (2, 6, 5, 7), dtype), sample(rng, (6,), dtype)
    shape = (2, 3, 2, 35)  # images, groups, channels of a group, pixels
    w = _wide(weight).reshape(1, 3, 2, 1)
    found = _gradient(
        "weight", (grad, x, 3, weight), {}, _wide(grad).reshape(shape), _wide(x).reshape(shape), w, (2, 3), (0, 3), False,
        dtype, x.shape, "groups affine",
    )  # fmt: skip

    def flat(each: tuple[Array, ...]) -> tuple[Array, ...]:
        return each[0], *(e.reshape(6) for e in each[1:])

    yield Sample(
        found.label, found.args, found.kwargs, lambda: flat(found.reference()), lambda: flat(found.bound()), found.features
    )  # fmt: skip


def _batch_gradient(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    x, grad, weight = sample(rng, (3, 4, 5, 6), dtype), sample(rng, (3, 4, 5, 6), dtype), sample(rng, (4,), dtype)
    w = _wide(weight)[None, :, None, None]
    yield _gradient(
        "batch statistics", (grad, x, None, None, weight), {}, _wide(grad), _wide(x), w, (0, 2, 3), (0, 2, 3), False,
        dtype, x.shape, "affine training",
    )  # fmt: skip


def _fold(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    weight = sample(rng, (6, 3, 3, 3), dtype)
    bias, mean, gain, beta = (sample(rng, (6,), dtype) for _ in range(4))
    var = (np.abs(_wide(sample(rng, (6,), dtype))) + 0.5).astype(dtype.np)

    def parts(of: Any) -> tuple[Array, Array]:
        scale = of(_wide(gain)) / np.sqrt(_wide(var) + 1e-5)
        return of(_wide(weight)) * scale[:, None, None, None], scale

    def reference() -> tuple[Array, Array]:
        folded, scale = parts(lambda t: t)
        return folded, (_wide(bias) - _wide(mean)) * scale + _wide(beta)

    def bound(*want: Array) -> tuple[Array, Array]:
        folded, scale = parts(np.abs)
        size = (np.abs(_wide(bias)) + np.abs(_wide(mean))) * scale + np.abs(_wide(beta))
        pair = zip((folded, size), want, strict=True)
        first, second = (12 * working(dtype).eps * s + rounding(w, stored(dtype)) for s, w in pair)
        return first, second

    yield sample_of("all", (weight, bias, mean, var, gain, beta), {}, reference, bound)


MAKERS: dict[str, Maker] = {
    "layer_norm": partial(_row_norm, False),
    "rms_norm": partial(_row_norm, True),
    "group_norm": _group_norm,
    "batch_norm": _batch_norm,
    "layer_norm_gradient": partial(_row_gradient, False),
    "rms_norm_gradient": partial(_row_gradient, True),
    "group_norm_gradient": _group_gradient,
    "batch_norm_gradient": _batch_gradient,
    "fold_batch_norm": _fold,
}
