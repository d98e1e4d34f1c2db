"""Samples of convolutions in one to three dimensions, transposed ones, and the gradients of both."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from ... import dtypes
from ...catalog import exact, gamma, rounding, sample
from ...dtypes import DType, dot_accumulator
from ..library import module
from .sample import Array, Maker, Sample, sample_of


@dataclass(frozen=True, slots=True)
class Form:
    """The numbers of a convolution, the same along every spatial axis."""

    label: str
    channels: int = 3
    outputs: int = 5
    groups: int = 1
    kernel: int = 3
    stride: int = 1
    padding: int = 0
    dilation: int = 1
    image: int = 9
    batch: int = 2
    options: dict[str, Any] = field(default_factory=dict)
    features: str = ""

    @property
    def numbers(self) -> dict[str, int]:
        """What the operator is told, but for what is its default."""
        given = {"stride": (self.stride, 1), "padding": (self.padding, 0), "dilation": (self.dilation, 1),
                 "groups": (self.groups, 1)}  # fmt: skip
        return {name: value for name, (value, usual) in given.items() if value != usual}

    def geometry(self, rank: int) -> tuple[tuple[int, ...], tuple[int, ...], tuple[tuple[int, int], ...]]:
        """Stride, dilation and padding along three axes."""
        lead = 3 - rank
        return (
            (1,) * lead + (self.stride,) * rank,
            (1,) * lead + (self.dilation,) * rank,
            ((0, 0),) * lead + ((self.padding,) * 2,) * rank,
        )

    def size(self) -> int:
        """Outputs along an axis."""
        return (self.image + 2 * self.padding - self.dilation * (self.kernel - 1) - 1) // self.stride + 1


FORMS = (
    Form("plain"),
    Form("padded", padding=1, stride=2, features="padding stride"),
    Form("dilated", dilation=2, padding=2, features="dilation padding"),
    Form("groups", channels=4, outputs=6, groups=2, padding=1, features="groups padding"),
    Form("depthwise", channels=6, outputs=6, groups=6, padding=1, features="depthwise groups padding"),
    Form("pointwise", channels=7, outputs=9, kernel=1, features="pointwise"),
    Form("one image, wide", batch=1, channels=16, outputs=32, image=12, padding=1, features="padding"),
    Form("empty", batch=0, features="empty"),
)


def deep(x: Array, rank: int) -> Array:
    """``x`` with three spatial axes."""
    return x.reshape(*x.shape[:2], *(1,) * (3 - rank), *x.shape[2:])


def _shallow(x: Array, rank: int) -> Array:
    return x.reshape(*x.shape[:2], *x.shape[5 - rank :])


def _stored(dtype: DType) -> DType:
    return dtypes.int32 if dtype.is_integer else dtype


def _operands(form: Form, rank: int, dtype: DType, rng: np.random.Generator) -> tuple[Array, Array]:
    x = sample(rng, (form.batch, form.channels, *(form.image,) * rank), dtype)
    weight = sample(rng, (form.outputs, form.channels // form.groups, *(form.kernel,) * rank), dtype)
    return x, weight


def _forward(
    label: str, form: Form, rank: int, dtype: DType, args: tuple[Any, ...], kwargs: dict[str, Any], x: Array,
    weight: Array, bias: Array | None, features: str, last: bool = False,
) -> Sample:  # fmt: skip
    ref = module("conv.reference")
    stride, dilation, padding = form.geometry(rank)

    def sums(of: Any) -> Array:
        found = ref.forward(deep(of(x), rank), deep(of(weight), rank), stride, dilation, padding, form.groups)
        total = found if bias is None else found + of(bias).reshape(-1, 1, 1, 1)
        shallow = _shallow(total, rank)
        return np.moveaxis(shallow, 1, -1) if last else shallow

    def bound(_: Array) -> Array:
        size = sums(lambda t: np.abs(ref.wide(t)))
        return ref.sum_bound(size, math.prod(weight.shape[1:]), sums(ref.wide), "none", dot_accumulator(dtype), _stored(dtype))  # fmt: skip

    return sample_of(label, args, kwargs, lambda: sums(ref.wide), bound, features)


def _conv(rank: int, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for form in FORMS:
        x, weight = _operands(form, rank, dtype, rng)
        yield _forward(form.label, form, rank, dtype, (x, weight), form.numbers, x, weight, None, form.features)
    form = FORMS[1]
    x, weight = _operands(form, rank, dtype, rng)
    bias = sample(rng, (form.outputs,), _stored(dtype))
    yield _forward("bias", form, rank, dtype, (x, weight, bias), form.numbers, x, weight, bias, "bias padding stride")
    x = sample(rng, (2, *(18,) * rank, 3), dtype)[(slice(None), *(slice(None, None, 2),) * rank)]
    first = np.moveaxis(x, -1, 1)
    yield _forward(
        "channels last", form, rank, dtype, (x, weight), {**form.numbers, "channels_last": True}, first, weight, None,
        "channels_last strided padding stride", True,
    )  # fmt: skip


def _transposed(rank: int, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    ref = module("conv.reference")
    for form in FORMS:
        if form.kernel == 1:
            continue
        x = sample(rng, (form.batch, form.channels, *(5,) * rank), dtype)
        weight = sample(rng, (form.channels, form.outputs // form.groups, *(form.kernel,) * rank), dtype)
        stride, dilation, padding = form.geometry(rank)
        n = 4 * form.stride - 2 * form.padding + form.dilation * (form.kernel - 1) + 1
        size = (1,) * (3 - rank) + (n,) * rank

        def sums(of: Any, x: Array = x, weight: Array = weight, form: Form = form, size: Any = size,
                 geometry: Any = (stride, dilation, padding)) -> Array:  # fmt: skip
            found = ref.transposed(deep(of(x), rank), deep(of(weight), rank), *geometry, form.groups, size)
            return _shallow(found, rank)

        def bound(want: Array, sums: Any = sums, form: Form = form) -> Array:
            terms = form.channels // form.groups * form.kernel**rank
            size = sums(lambda t: np.abs(ref.wide(t)))
            return ref.sum_bound(size, terms, want, "none", dot_accumulator(dtype), _stored(dtype))

        yield sample_of(
            form.label, (x, weight), form.numbers, lambda sums=sums: sums(ref.wide), bound, form.features
        )  # fmt: skip


# --- gradients ----------------------------------------------------------------------------------------------


def _linear_bound(terms: int, size: Array, want: Array, dtype: DType) -> Array:
    return gamma(terms + 16, dot_accumulator(dtype)) * size + rounding(want, dtype)


def _gradients(rank: int, dtype: DType, rng: np.random.Generator) -> Iterator[tuple[Form, Array, Array, Array]]:
    for form in FORMS:
        x, weight = _operands(form, rank, dtype, rng)
        yield form, x, weight, sample(rng, (form.batch, form.outputs, *(form.size(),) * rank), dtype)


def _input(rank: int, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    ref = module("conv.reference")
    for form, x, weight, grad in _gradients(rank, dtype, rng):
        stride, dilation, padding = form.geometry(rank)

        def sums(of: Any, x: Array = x, weight: Array = weight, grad: Array = grad, form: Form = form,
                 geometry: Any = (stride, dilation, padding)) -> Array:  # fmt: skip
            size = (1,) * (3 - rank) + x.shape[2:]
            found = ref.transposed(deep(of(grad), rank), deep(of(weight), rank), *geometry, form.groups, size)
            return _shallow(found, rank)

        terms = form.outputs // form.groups * form.kernel**rank
        yield sample_of(
            form.label, (x.shape, weight, grad), form.numbers, lambda sums=sums: sums(ref.wide),
            lambda want, sums=sums, terms=terms: _linear_bound(terms, sums(lambda t: np.abs(ref.wide(t))), want, dtype),
            form.features,
        )  # fmt: skip


def _weight(rank: int, dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    ref = module("conv.reference")
    for form, x, weight, grad in _gradients(rank, dtype, rng):
        stride, dilation, padding = form.geometry(rank)
        kernel = (1,) * (3 - rank) + weight.shape[2:]

        def sums(of: Any, x: Array = x, grad: Array = grad, form: Form = form, kernel: Any = kernel,
                 geometry: Any = (stride, dilation, padding)) -> Array:  # fmt: skip
            found = ref.weight_gradient(deep(of(grad), rank), deep(of(x), rank), kernel, *geometry, form.groups)
            return _shallow(found, rank)

        terms = math.prod(grad.shape) // max(1, form.outputs)
        yield sample_of(
            form.label, (x, weight.shape, grad), form.numbers, lambda sums=sums: sums(ref.wide),
            lambda want, sums=sums, terms=terms: _linear_bound(terms, sums(lambda t: np.abs(ref.wide(t))), want, dtype),
            form.features,
        )  # fmt: skip


def _bias(dtype: DType, rng: np.random.Generator) -> Iterator[Sample]:
    for label, shape in (("2d", (2, 5, 7, 6)), ("1d", (3, 1, 33)), ("empty", (0, 2, 3))):
        grad = sample(rng, shape, dtype)
        axes = (0, *range(2, len(shape)))
        yield sample_of(
            label, (grad,), {}, lambda grad=grad, axes=axes: exact(grad).sum(axis=axes),
            lambda want, grad=grad, axes=axes: _linear_bound(grad.size, np.abs(exact(grad)).sum(axis=axes), want, dtype),
            "empty" if label == "empty" else "",
        )  # fmt: skip


MAKERS: dict[str, Maker] = {
    **{f"conv{r}d": partial(_conv, r) for r in (1, 2, 3)},
    **{f"conv_transpose{r}d": partial(_transposed, r) for r in (1, 2, 3)},
    **{f"conv{r}d_input": partial(_input, r) for r in (1, 2, 3)},
    **{f"conv{r}d_weight": partial(_weight, r) for r in (1, 2, 3)},
    "conv_bias": _bias,
}
