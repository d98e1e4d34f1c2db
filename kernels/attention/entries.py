"""The cases that attention and its gradients are tried on."""

from __future__ import annotations

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, poison, sample

from .backward import key_kernel, mask_kernel, query_kernel
from .forward import attention_kernel
from .reference import Truth, bounds, gradient_bounds, gradients, mask_gradient_bound, slopes, summed, truth

Sizes = tuple[int, int, int, int, int, int, int]
"""Images, heads, heads of keys, queries, keys, features, features of values."""


def _inputs(rng: np.random.Generator, sizes: Sizes, dtype: pk.DType, masking: str, causal: bool, strided: bool):
    b, h, g, s, t, d, e = sizes
    q, k, v = (sample(rng, shape, dtype) for shape in ((b, h, s, d), (b, g, t, d), (b, g, t, e)))
    if strided:  # heads beside features, as a projection leaves them
        q = np.ascontiguousarray(q.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
        k, v = k[:, :, ::-1], np.ascontiguousarray(v.swapaxes(-1, -2)).swapaxes(-1, -2)
    mask = None
    if masking == "bool":
        look = rng.random((b, 1, s, t)) < 0.7
        look[0, 0, s // 2] = False  # a row that may look nowhere
        mask = np.broadcast_to(look, (b, h, s, t))
    elif masking == "add":
        mask = np.broadcast_to(sample(rng, (h, 1, t), dtype), (b, h, 1, t))
    scale = float(np.float32(d**-0.5))
    found: Truth = truth(q, k, v, mask, scale, causal, dtype)
    constants = {"HEAD": d, "VALUE": e, "CAUSAL": causal, "MASK": masking, "AXES": "n" if masking == "add" else "mn"}
    return {"q": q, "k": k, "v": v, "mask": q if mask is None else mask, "scale": scale}, constants, found


def _forward(sizes: Sizes, *, masking: str = "none", causal: bool = False, strided: bool = False):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        args, constants, found = _inputs(rng, sizes, dtype, masking, causal, strided)
        b, h, _, s, _, _, e = sizes
        return Problem(
            args={**args, "out": poison((b, h, s, e), dtype), "lse": poison((b, h, s), found.wide)},
            grid=lambda meta: (pk.cdiv(s, meta["BM"]) * h * b,),
            constants=constants,
            outputs=("out", "lse"),
            reference=lambda: {"out": found.out, "lse": found.lse},
            bound=lambda: bounds(found),
        )

    return make


def _backward(which: str, sizes: Sizes, *, masking: str = "none", causal: bool = False, strided: bool = False):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        args, constants, found = _inputs(rng, sizes, dtype, masking, causal, strided)
        b, h, g, s, t, d, e = sizes
        grad = sample(rng, (b, h, s, e), dtype)
        wide = found.wide.np
        delta = (exact(grad) * exact(found.out.astype(dtype.np))).sum(axis=-1).astype(wide)
        shapes = {"dq": (b, h, s, d)} if which == "query" else {"dk": (b, g, t, d), "dv": (b, g, t, e)}
        slopes = gradients(found, exact(grad))
        limits = gradient_bounds(found, exact(grad))
        return Problem(
            args={
                **args,
                **{"grad": grad, "lse": found.lse.astype(wide), "delta": delta},
                **{name: poison(shape, dtype) for name, shape in shapes.items()},
            },
            grid=(lambda meta: (pk.cdiv(s, meta["BM"]) * h * b,))
            if which == "query"
            else (lambda meta: (pk.cdiv(t, meta["BN"]) * g * b,)),
            constants=constants,
            outputs=tuple(shapes),
            reference=lambda: {name: slopes[name] for name in shapes},
            bound=lambda: {name: limits[name] for name in shapes},
        )

    return make


def _mask(sizes: Sizes, shape: tuple[int, int, int, int], *, causal: bool = False):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        b, h, g, s, t, d, e = sizes
        q, k, v = (sample(rng, shape, dtype) for shape in ((b, h, s, d), (b, g, t, d), (b, g, t, e)))
        own, grad = sample(rng, shape, dtype), sample(rng, (b, h, s, e), dtype)
        scale = float(np.float32(d**-0.5))
        found = truth(q, k, v, own, scale, causal, dtype)
        wide = found.wide
        delta = (exact(grad) * exact(found.out.astype(dtype.np))).sum(axis=-1).astype(wide.np)
        axes = ("m" if shape[2] == s else "") + ("n" if shape[3] == t else "")
        _, _, rows, cols = shape
        return Problem(
            args={
                "grad": grad, "q": q, "k": k, "v": v, "mask": np.broadcast_to(own, (b, h, rows, cols)), "scale": scale,
                "lse": found.lse.astype(wide.np), "delta": delta, "dmask": np.zeros(shape, wide.np),
            },
            grid=lambda meta: (shape[0] * shape[1] * pk.cdiv(rows, meta["BM"]) * pk.cdiv(cols, meta["BN"]),),
            constants={"HEAD": d, "VALUE": e, "CAUSAL": causal, "AXES": axes},
            outputs=("dmask",),
            reference=lambda: {"dmask": summed(slopes(found, exact(grad)), shape)},
            bound=lambda: {"dmask": mask_gradient_bound(found, exact(grad), shape, wide)},
        )  # fmt: skip

    return make


def _gradient(which: str, kernel) -> Entry:
    cases = (
        Case("2×64, 16 wide", _backward(which, (1, 2, 2, 64, 64, 16, 16))),
        Case("1×1, 1 wide", _backward(which, (1, 1, 1, 1, 1, 1, 1))),
        Case("4 heads share 2, 19 by 33, 8 and 5 wide, bool mask", _backward(which, (1, 4, 2, 19, 33, 8, 5), masking="bool", strided=True)),
        Case("2×2×37 causal, added mask", _backward(which, (2, 2, 2, 37, 37, 7, 7), masking="add", causal=True)),
    )  # fmt: skip
    return Entry(f"attention_{which}_gradient", kernel, (pk.float32, pk.float16), cases)


ENTRIES = (
    Entry(
        "attention",
        attention_kernel,
        (pk.float32, pk.float64, pk.float16),
        (
            Case("4×128, 32 wide", _forward((1, 4, 4, 128, 128, 32, 32))),
            Case("1×1, 1 wide", _forward((1, 1, 1, 1, 1, 1, 1))),
            Case("4 heads share 2, 19 by 33, 8 and 5 wide, bool mask", _forward((1, 4, 2, 19, 33, 8, 5), masking="bool", strided=True)),
            Case("2×2×65 causal", _forward((2, 2, 2, 65, 65, 16, 16), causal=True)),
            Case("1 query, 100 keys, added mask", _forward((2, 2, 1, 1, 100, 16, 16), masking="add")),
        ),
    ),
    _gradient("query", query_kernel),
    _gradient("key", key_kernel),
    Entry(
        "attention_mask_gradient",
        mask_kernel,
        (pk.float32, pk.float16),
        (
            Case("2×32, 16 wide, shared", _mask((1, 2, 2, 32, 32, 16, 16), (1, 1, 32, 32))),
            Case("1×1, 1 wide", _mask((1, 1, 1, 1, 1, 1, 1), (1, 1, 1, 1))),
            Case("4 heads share 2, 19 by 33, for columns", _mask((1, 4, 2, 19, 33, 8, 5), (1, 4, 1, 33))),
            Case("2×2×21 causal, for rows", _mask((2, 2, 2, 21, 21, 7, 7), (2, 1, 21, 1), causal=True)),
        ),
    ),
)  # fmt: skip
