"""The convolution kernels in the catalogue: problems, references, bounds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, gamma, poison, rounding, sample
from portkernel.dtypes import dot_accumulator

from .. import activations
from . import reference as ref
from .dense import conv, conv_pointwise
from .depthwise import conv_depthwise
from .forward import stored
from .geometry import Triple
from .gradient import conv_weight_gradient

ONE = (1, 1, 1)
NONE = (0, 0, 0)


@dataclass(frozen=True)
class Convolution:
    """``image`` is (C, D, H, W); ``padding`` is the same on both sides."""

    image: tuple[int, int, int, int]
    channels: int
    kernel: Triple
    batch: int = 1
    stride: Triple = ONE
    padding: Triple = NONE
    dilation: Triple = ONE
    groups: int = 1
    bias: bool = False
    residual: bool = False
    activation: str = "none"
    flat: bool = False
    layout: str = ""

    @property
    def pairs(self) -> list[tuple[int, int]]:
        return [(p, p) for p in self.padding]

    @property
    def size(self) -> tuple[int, ...]:
        """The shape of the output."""
        spatial = [
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(self.image[1:], self.padding, self.dilation, self.kernel, self.stride, strict=True)
        ]
        return (self.batch, self.channels, *spatial)

    def inputs(self, dtype: pk.DType, rng: np.random.Generator) -> dict[str, Any]:
        x = sample(rng, (self.batch, *self.image), dtype)
        weight = sample(rng, (self.channels, self.image[0] // self.groups, *self.kernel), dtype)
        if self.layout == "channels last":
            x = np.ascontiguousarray(x.transpose(0, 2, 3, 4, 1)).transpose(0, 4, 1, 2, 3)
            weight = weight[..., ::-1, ::-1]
        acc = dot_accumulator(dtype)
        bias = sample(rng, (self.channels if self.bias else 1,), acc)
        residual = sample(rng, self.size if self.residual else (1,) * 5, stored(dtype))
        return {"x": x, "weight": weight, "bias": bias, "residual": residual}

    def sums(self, given: dict[str, Any], of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
        """Before the activation, from ``of`` each array."""
        x, weight = of(given["x"]), of(given["weight"])
        total = ref.forward(x, weight, self.stride, self.dilation, self.pairs, self.groups)
        if self.bias:
            total = total + of(given["bias"])[:, None, None, None]
        return total + of(given["residual"]) if self.residual else total

    def answers(self, given: dict[str, Any], dtype: pk.DType) -> tuple[Callable[[], Any], Callable[[], Any]]:
        activation = self.activation if dtype.is_float else "none"
        terms = prod(given["weight"].shape[1:])

        def reference():
            return {"out": activations.reference(self.sums(given, ref.wide), activation)}

        def bound():
            size = self.sums(given, lambda t: np.abs(ref.wide(t)))
            before = self.sums(given, ref.wide)
            return {"out": ref.sum_bound(size, terms, before, activation, dot_accumulator(dtype), stored(dtype))}

        return reference, bound

    def epilogue(self, dtype: pk.DType) -> dict[str, object]:
        return {
            "BIAS": self.bias,
            "RESIDUAL": self.residual,
            "ACTIVATION": self.activation if dtype.is_float else "none",
        }

    def problem(self, dtype: pk.DType, given: dict[str, Any], out: np.ndarray, grid: Any, constants: Any) -> Problem:
        front = dict(zip(("front", "top", "left"), self.padding, strict=True))
        reference, bound = self.answers(given, dtype)
        return Problem(
            args={**given, "out": out, **front},
            grid=grid,
            constants={"STRIDE": self.stride, "DILATION": self.dilation, **constants, **self.epilogue(dtype)},
            reference=reference,
            bound=bound,
        )


def _dense(*args: Any, **given: Any) -> Callable[[pk.DType, np.random.Generator], Problem]:
    it = Convolution(*args, **given)
    pixels, rows = it.batch * prod(it.size[2:]), it.channels // it.groups

    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        return it.problem(
            dtype,
            it.inputs(dtype, rng),
            poison(it.size, stored(dtype)),
            lambda m: (pk.cdiv(pixels, m["BN"]) * pk.cdiv(rows, m["BM"]) * it.groups,),
            {"GROUPS": it.groups, "FLAT": it.flat},
        )

    return make


def _depthwise(*args: Any, **given: Any) -> Callable[[pk.DType, np.random.Generator], Problem]:
    it = Convolution(*args, **given)
    pixels = it.batch * prod(it.size[2:])

    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        return it.problem(
            dtype,
            it.inputs(dtype, rng),
            poison(it.size, stored(dtype)),
            lambda m: (pk.cdiv(pixels, m["BN"]) * pk.cdiv(it.channels, m["BM"]),),
            {},
        )

    return make


def _pointwise(*args: Any, **given: Any) -> Callable[[pk.DType, np.random.Generator], Problem]:
    it = Convolution(*args, kernel=ONE, **given)
    pixels = prod(it.size[2:])

    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        arrays = it.inputs(dtype, rng)
        reference, bound = it.answers(arrays, dtype)

        def flat(found: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
            return {name: value.reshape((*it.size[:2], pixels)) for name, value in found.items()}

        x, residual = arrays["x"], arrays["residual"]
        seen = {
            "x": x.reshape((*x.shape[:2], pixels)) if it.layout == "" else x[:, :, 0, 0, :],
            "weight": arrays["weight"].reshape(it.channels, it.image[0]),
            "bias": arrays["bias"],
            "residual": residual.reshape((*residual.shape[:2], -1)),
            "out": poison((*it.size[:2], pixels), stored(dtype)),
        }
        return Problem(
            args=seen,
            grid=lambda m: (pk.cdiv(pixels, m["BN"]) * pk.cdiv(it.channels, m["BM"]) * it.batch,),
            constants=it.epilogue(dtype),
            reference=lambda: flat(reference()),
            bound=lambda: flat(bound()),
        )

    return make


def _weights(*args: Any, **given: Any) -> Callable[[pk.DType, np.random.Generator], Problem]:
    it = Convolution(*args, **given)
    channels, rows = it.image[0] // it.groups, it.channels // it.groups
    taps, pixels = prod(it.kernel), it.batch * prod(it.size[2:])

    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        x, grad = it.inputs(dtype, rng)["x"], sample(rng, it.size, dtype)
        wide = dot_accumulator(dtype)

        def total(of: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
            return ref.weight_gradient(of(grad), of(x), it.kernel, it.stride, it.dilation, it.pairs, it.groups)

        def bound():
            size = total(lambda t: np.abs(ref.wide(t)))
            return {"out": gamma(pixels, wide) * size + rounding(total(ref.wide), dtype)}

        return Problem(
            args={
                "x": x,
                "grad": grad,
                "out": poison((it.channels, channels, *it.kernel), dtype),
                **dict(zip(("front", "top", "left"), it.padding, strict=True)),
            },
            grid=lambda m: (
                (pk.cdiv(channels * taps, m["BN"]) if it.flat else taps * pk.cdiv(channels, m["BN"]))
                * pk.cdiv(rows, m["BM"])
                * it.groups,
            ),
            constants={"STRIDE": it.stride, "DILATION": it.dilation, "GROUPS": it.groups, "FLAT": it.flat},
            reference=lambda: {"out": total(ref.wide)},
            bound=bound,
        )

    return make


FLOATS = (pk.float32, pk.float64, pk.float16, pk.bfloat16)
ENTRIES = (
    Entry(
        "conv2d",
        conv,
        (*FLOATS, pk.int8),
        (
            Case("2×16×28×28, 32 of 3×3, padding, bias, relu", _dense((16, 1, 28, 28), 32, (1, 3, 3), batch=2, padding=(0, 1, 1), bias=True, activation="relu")),
            Case("1×1 of 1×1", _dense((1, 1, 1, 1), 1, ONE)),
            Case("stride, dilation, odd, few channels", _dense((5, 1, 19, 23), 7, (1, 3, 5), stride=(1, 2, 3), padding=(0, 2, 1), dilation=(1, 2, 1), flat=True)),
            Case("3 groups, residual, silu", _dense((9, 1, 11, 10), 6, (1, 3, 3), batch=2, groups=3, padding=(0, 1, 0), bias=True, residual=True, activation="silu")),
            Case("channels last, strided", _dense((8, 1, 13, 13), 12, (1, 3, 3), stride=(1, 2, 2), padding=(0, 1, 1), layout="channels last")),
            Case("three dimensions", _dense((4, 5, 6, 7), 9, (2, 3, 2), stride=(1, 2, 1), padding=(1, 0, 1))),
        ),
    ),
    Entry(
        "conv_pointwise",
        conv_pointwise,
        (pk.float32, pk.float16),
        (
            Case("1×64×28×28, 32 of 1×1, bias, relu", _pointwise((64, 1, 28, 28), 32, bias=True, activation="relu")),
            Case("batch, odd, residual, gelu", _pointwise((17, 1, 9, 7), 19, batch=2, residual=True, activation="gelu")),
            Case("channels last", _pointwise((24, 1, 1, 33), 10, layout="channels last")),
        ),
    ),
    Entry(
        "conv_depthwise",
        conv_depthwise,
        (pk.float32, pk.float16),
        (
            Case("1×32×28×28, 3×3, padding", _depthwise((32, 1, 28, 28), 32, (1, 3, 3), groups=32, padding=(0, 1, 1))),
            Case("channels last, stride, two each", _depthwise((8, 1, 13, 13), 16, (1, 3, 3), groups=8, stride=(1, 2, 2), padding=(0, 1, 1), bias=True, layout="channels last")),
            Case("one dimension, dilation, tanh", _depthwise((5, 1, 1, 40), 5, (1, 1, 4), batch=2, groups=5, dilation=(1, 1, 3), activation="tanh")),
        ),
    ),
    Entry(
        "conv_weight_gradient",
        conv_weight_gradient,
        (pk.float32,),
        (
            Case("2×16×14×14, 32 of 3×3", _weights((16, 1, 14, 14), 32, (1, 3, 3), batch=2, padding=(0, 1, 1))),
            Case("stride, dilation, groups", _weights((6, 1, 15, 13), 4, (1, 3, 2), stride=(1, 2, 1), dilation=(1, 1, 2), groups=2, flat=True)),
            Case("three dimensions, channels last", _weights((3, 4, 5, 6), 5, (2, 2, 3), padding=(1, 0, 1), flat=True, layout="channels last")),
            Case("a tap at a time, stride, groups", _weights((12, 1, 9, 8), 4, (1, 2, 3), batch=2, stride=(1, 2, 1), padding=(0, 1, 1), groups=2)),
        ),
    ),
)  # fmt: skip
