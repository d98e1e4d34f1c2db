"""Samples of products of matrices and of attention."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

import numpy as np

from ... import dtypes
from ...catalog import exact, sample
from ...dtypes import DType, dot_accumulator
from ..library import module
from .sample import Array, Maker, Sample, sample_of

Operands = dict[str, Array]


def operand(dtype: DType) -> DType:
    """The dtype that operands of a product are multiplied in."""
    return dtypes.float16 if dtype.is_storage_only else dtypes.int8 if dtype.is_bool else dtype


def stored(dtype: DType) -> DType:
    """The dtype of a product of ``dtype``."""
    if dtype.is_storage_only:
        return dtypes.float32
    return dtype if dtype.is_float or dtype.is_bool else dot_accumulator(operand(dtype))


def product(
    label: str, a: Array, b: Array, dtype: DType, args: tuple[Any, ...], kwargs: dict[str, Any], extra: Operands,
    activation: str = "none", features: str = "",
) -> Sample:  # fmt: skip
    """``activation(a @ b + …)``, called with ``args``."""
    ref = module("matmul.reference")

    def reference() -> Array:
        found = ref.reference(a, b, extra, activation)
        return found != 0 if dtype.is_bool else found

    def bound(want: Array) -> Array:
        if dtype.is_bool:
            return np.zeros(want.shape)
        return ref.bound(a, b, extra, operand(dtype), stored(dtype), activation=activation)

    return sample_of(label, args, kwargs, reference, bound, features)


def _matmul(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    def plain(label: str, a: Array, b: Array, features: str = "") -> Sample:
        return product(label, a, b, dtype, (a, b), {}, {}, features=features)

    yield plain("square", sample(rng, (33, 47), dtype), sample(rng, (47, 65), dtype))
    yield plain("transposed", sample(rng, (47, 33), dtype).T, sample(rng, (65, 47), dtype).T, "transposed")
    yield plain("strided", sample(rng, (14, 34), dtype)[::2, ::-2], sample(rng, (17, 9), dtype), "strided")
    yield plain("batch", sample(rng, (2, 1, 5, 9), dtype), sample(rng, (3, 9, 4), dtype), "broadcast")
    yield plain("vector", sample(rng, (5, 130), dtype), sample(rng, (130,), dtype), "vector")
    yield plain("depth 0", sample(rng, (4, 0), dtype), sample(rng, (0, 3), dtype), "empty")
    yield plain("empty", sample(rng, (0, 4), dtype), sample(rng, (4, 3), dtype), "empty")
    if dtype.is_float and not dtype.is_storage_only:
        a, b = sample(rng, (17, 33), dtype), sample(rng, (33, 20), dtype)
        extra = {"bias": sample(rng, (20,), dtype), "residual": sample(rng, (17, 20), dtype)}
        yield product("fused", a, b, dtype, (a, b), {**extra, "activation": "gelu"}, extra, "gelu", "epilogue")


def _linear(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, lead, with_bias, features in (
        ("rows", (9,), False, ""), ("bias", (2, 5), True, "bias"), ("vector", (), True, "vector"),
        ("empty", (0,), True, "empty"),
    ):  # fmt: skip
        x, weight = sample(rng, (*lead, 33), dtype), sample(rng, (20, 33), dtype)
        extra = {"bias": sample(rng, (20,), stored(dtype))} if with_bias else {}
        yield product(label, x, weight.T, dtype, (x, weight), dict(extra), extra, features=features)
    if dtype.is_float and not dtype.is_storage_only:
        x, weight = sample(rng, (33, 7), dtype).T, sample(rng, (20, 66), dtype)[:, ::2]
        yield product(
            "fused", x, weight.T, dtype, (x, weight), {"activation": "relu"}, {}, "relu", "epilogue transposed strided"
        )


def _grouped(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    a, b = sample(rng, (9, 17), dtype), sample(rng, (3, 17, 5), dtype)
    offsets = np.array([0, 4, 4, 9])

    def each(of: Any) -> Array:
        parts = [of(a[lo:hi], b[g]) for g, (lo, hi) in enumerate(pairwise(offsets))]
        return np.concatenate(parts)

    ref = module("matmul.reference")
    yield sample_of(
        "groups", (a, b, offsets), {}, lambda: each(lambda x, y: ref.reference(x, y, {})),
        lambda _: each(lambda x, y: ref.bound(x, y, {}, operand(dtype), stored(dtype))), "groups",
    )  # fmt: skip


def _list(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    a = [sample(rng, (5, 9), dtype), sample(rng, (3, 4), dtype)]
    b = [sample(rng, (9, 7), dtype), sample(rng, (4, 2), dtype)]
    ref = module("matmul.reference")
    yield sample_of(
        "two", (a, b), {}, lambda: [ref.reference(x, y, {}) for x, y in zip(a, b, strict=True)],
        lambda *_: [ref.bound(x, y, {}, operand(dtype), stored(dtype)) for x, y in zip(a, b, strict=True)],
    )  # fmt: skip


# --- attention ----------------------------------------------------------------------------------------------


def _truths(
    dtype: DType, rng: np.random.Generator
) -> Iterator[tuple[str, tuple[Array, ...], dict[str, Any], Any, str]]:
    """Label, query, key and value, options, and everything about the problem in float64."""
    ref = module("attention.reference")
    for label, heads, shared, s, t, options, features in (
        ("plain", 2, 2, 9, 17, {}, ""),
        ("causal", 2, 2, 17, 17, {"is_causal": True}, "causal"),
        ("mask", 2, 2, 9, 17, {"attn_mask": "bool"}, "mask"),
        ("bias", 1, 1, 5, 7, {"attn_mask": "add", "scale": 0.25}, "mask scale"),
        ("shared heads", 4, 2, 5, 33, {"enable_gqa": True}, "groups"),
    ):
        q, k, v = (sample(rng, (2, h, n, 16), dtype) for h, n in ((heads, s), (shared, t), (shared, t)))
        given: dict[str, Any] = dict(options)
        mask = None
        if given.get("attn_mask") == "bool":
            mask = rng.integers(0, 4, (s, t)) > 0
        elif given.get("attn_mask") == "add":
            mask = sample(rng, (1, s, t), dtype)
        if mask is not None:
            given["attn_mask"] = mask
        if label == "plain":
            q, features = q[:, :, ::-1], "strided"
        scale = float(given.get("scale", 1 / math.sqrt(16)))
        kind = dtype if dtype.is_float and not dtype.is_storage_only else dtypes.float32
        yield label, (q, k, v), given, (
            lambda q=q, k=k, v=v, mask=mask, scale=scale, causal="is_causal" in given, kind=kind: ref.truth(
                q, k, v, mask, scale, causal, kind
            )
        ), features  # fmt: skip


def _attention(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    ref = module("attention.reference")
    for label, operands, options, truth, features in _truths(dtype, rng):
        yield sample_of(
            label, operands, options, lambda truth=truth: truth().out,
            lambda _, truth=truth: ref.bounds(truth())["out"], features,
        )  # fmt: skip


def _attention_backward(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    ref = module("attention.reference")
    for label, operands, options, truth, features in _truths(dtype, rng):
        t = truth()
        grad = sample(rng, t.out.shape, dtype)
        wide = dtypes.float64 if dtype is dtypes.float64 else dtypes.float32
        given = (grad, *operands, t.out.astype(dtype.np), t.lse.astype(wide.np))
        yield sample_of(
            label, given, options, lambda t=t, grad=grad: tuple(ref.gradients(t, exact(grad)).values()),
            lambda *_, t=t, grad=grad: tuple(ref.gradient_bounds(t, exact(grad)).values()), features,
        )  # fmt: skip


def _attention_mask_gradient(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    ref = module("attention.reference")
    for label, operands, options, truth, features in _truths(dtype, rng):
        mask = options.pop("attn_mask", None)
        if mask is None or (mask.dtype == np.bool_ and not dtype.is_bool):  # a choice of places has no gradient
            continue
        t = truth()
        grad = sample(rng, t.out.shape, dtype)
        wide = dtypes.float64 if dtype is dtypes.float64 else dtypes.float32
        given = (grad, *operands, t.out.astype(dtype.np), t.lse.astype(wide.np), mask)
        yield sample_of(
            label, given, options, lambda t=t, grad=grad, mask=mask: ref.summed(ref.slopes(t, exact(grad)), mask.shape),
            lambda *_, t=t, grad=grad, mask=mask: ref.mask_gradient_bound(t, exact(grad), mask.shape, dtype), features,
        )  # fmt: skip


MAKERS: dict[str, Maker] = {
    "matmul": _matmul,
    "linear": _linear,
    "grouped_matmul": _grouped,
    "matmul_list": _list,
    "scaled_dot_product_attention": _attention,
    "scaled_dot_product_attention_backward": _attention_backward,
    "scaled_dot_product_attention_mask_gradient": _attention_mask_gradient,
}
