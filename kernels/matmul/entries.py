"""The cases that the products are tried on."""

from __future__ import annotations

import numpy as np

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, poison, sample
from portkernel.dtypes import dot_accumulator

from .blocked import matmul_kernel
from .fused import Fused
from .grouped import grouped_kernel
from .reference import bound, reference
from .thin import columns_kernel, rows_kernel

FACTORS = {"alpha": 1.0, "beta": 0.0}


def stored(dtype: pk.DType) -> pk.DType:
    """The dtype of a result: 8-bit types widen."""
    return dot_accumulator(dtype) if dtype.bits == 8 else dtype


def _operands(
    rng: np.random.Generator, a_shape, b_shape, dtype: pk.DType, layout: str
) -> tuple[np.ndarray, np.ndarray]:
    if layout == "transposed":
        return tuple(sample(rng, (*s[:-2], s[-1], s[-2]), dtype).swapaxes(-1, -2) for s in (a_shape, b_shape))
    a, b = sample(rng, a_shape, dtype), sample(rng, b_shape, dtype)
    if layout == "strided":
        a = sample(rng, (*a_shape[:-2], 2 * a_shape[-2], 3 * a_shape[-1]), dtype)[..., ::-2, ::3]
        b = sample(rng, (*b_shape[:-2], b_shape[-2], 2 * b_shape[-1]), dtype)[..., ::-1, 1::2]
    if layout == "one matrix for all":
        b = np.broadcast_to(b[:1], b_shape)
    return a, b


def _product(
    m: int, n: int, k: int, *, batch: tuple[int, ...] = (), layout: str = "", bias: bool = False,
    residual: bool = False, activation: str = "none",
):  # fmt: skip
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        a, b = _operands(rng, (*batch, m, k), (*batch, k, n), dtype, layout)
        working = dot_accumulator(dtype)
        extra = {"bias": sample(rng, (*(1,) * len(batch), 1, n), working)} if bias else {}
        if residual:
            extra["residual"] = sample(rng, (*batch, m, n), stored(dtype))
        act = activation if dtype.is_float or activation == "relu" else "none"
        spread = {name: np.broadcast_to(x, (*batch, *x.shape[-2:])) for name, x in extra.items()}
        fused = Fused(bias="n" if bias else None, residual="mn" if residual else None, activation=act)
        matrices = int(np.prod(batch))
        return Problem(
            args={
                **{"a": a, "b": b, "scale": a, "bias": a, "residual": a},
                **spread,
                **FACTORS,
                "out": poison((*batch, m, n), stored(dtype)),
            },
            grid=lambda meta: (matrices * pk.cdiv(m, meta["BM"]), pk.cdiv(n, meta["BN"])),
            constants={"FUSED": fused},
            reference=lambda: {"out": reference(a, b, extra, act)},
            bound=lambda: {"out": bound(a, b, extra, dtype, stored(dtype), activation=act)},
        )

    return make


def _thin(
    which: str, length: int, few: int, k: int, *, batch: tuple[int, ...] = (), strided: bool = False, lines: int = 1
):  # fmt: skip
    """``rows``: length × k times k × few, ``lines`` blocks of rows to a program; ``columns``: few × k times k × length."""

    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        m, n = (length, few) if which == "rows" else (few, length)
        a, b = _operands(rng, (*batch, m, k), (*batch, k, n), dtype, "strided" if strided else "")
        matrices = int(np.prod(batch))
        rows = which == "rows"
        side = {"N": n, "LINES": lines} if rows else {"M": m}
        return Problem(
            args={
                "a": a,
                "b": b.swapaxes(-1, -2) if rows else b,
                **{"scale": a, "bias": a, "residual": a},
                **FACTORS,
                "out": poison((*batch, m, n), stored(dtype)),
            },
            grid=lambda meta: (matrices * pk.cdiv(length, meta["BM"] * lines if rows else meta["BN"]),),
            constants=side,
            reference=lambda: {"out": reference(a, b, {})},
            bound=lambda: {"out": bound(a, b, {}, dtype, stored(dtype))},
        )

    return make


def _grouped(sizes: tuple[int, ...], n: int, k: int, *, bias: bool = False, activation: str = "none"):
    def make(dtype: pk.DType, rng: np.random.Generator) -> Problem:
        offsets = np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)
        a, b = sample(rng, (int(offsets[-1]), k), dtype), sample(rng, (len(sizes), k, n), dtype)
        shift = sample(rng, (len(sizes), n), dot_accumulator(dtype)) if bias else a
        act = activation if dtype.is_float or activation == "relu" else "none"

        def pieces(f):
            found = []
            for g in range(len(sizes)):
                extra = {"bias": shift[g]} if bias else {}
                found.append(f(a[offsets[g] : offsets[g + 1]], b[g], extra))
            return {"out": np.concatenate(found)}

        return Problem(
            args={"a": a, "b": b, "bias": shift, "offsets": offsets, "out": poison((len(a), n), stored(dtype))},
            grid=lambda meta: (sum(pk.cdiv(s, meta["BM"]) for s in sizes) * pk.cdiv(n, meta["BN"]),),
            constants={"BIAS": bias, "ACTIVATION": act},
            reference=lambda: pieces(lambda x, y, extra: reference(x, y, extra, act)),
            bound=lambda: pieces(lambda x, y, e: bound(x, y, e, dtype, stored(dtype), activation=act)),
        )

    return make


ENTRIES = (
    Entry(
        "matmul",
        matmul_kernel,
        (pk.float32, pk.float64, pk.float16, pk.bfloat16, pk.float8_e4m3fn, pk.float8_e5m2, pk.int8),
        (
            Case("256×256×256", _product(256, 256, 256)),
            Case("1×1×1", _product(1, 1, 1)),
            Case("17×100×3", _product(17, 100, 3)),
            Case("65×129×257, transposed", _product(65, 129, 257, layout="transposed")),
            Case("33×48×70, strided", _product(33, 48, 70, layout="strided")),
            Case("48×100×65, bias and relu", _product(48, 100, 65, bias=True, activation="relu")),
            Case("7 of 19×20×33, bias, residual, gelu", _product(19, 20, 33, batch=(7,), bias=True, residual=True, activation="gelu")),
            Case("2×3 of 9×17×12, one matrix for all", _product(9, 17, 12, batch=(2, 3), layout="one matrix for all")),
        ),
    ),
    Entry(
        "matmul_rows",
        rows_kernel,
        (pk.float32, pk.int8),
        (
            Case("512×1×1024", _thin("rows", 512, 1, 1024)),
            Case("1×1×1", _thin("rows", 1, 1, 1)),
            Case("5 of 33×3×129, strided", _thin("rows", 33, 3, 129, batch=(5,), strided=True)),
            Case("2 of 101×1×100, several blocks", _thin("rows", 101, 1, 100, batch=(2,), lines=3)),
        ),
    ),
    Entry(
        "matmul_columns",
        columns_kernel,
        (pk.float32, pk.float16),
        (
            Case("1×512×1024", _thin("columns", 512, 1, 1024)),
            Case("1×1×1", _thin("columns", 1, 1, 1)),
            Case("5 of 3×33×129, strided", _thin("columns", 33, 3, 129, batch=(5,), strided=True)),
        ),
    ),
    Entry(
        "grouped_matmul",
        grouped_kernel,
        (pk.float32, pk.float16),
        (
            Case("8 groups of 0 to 70 rows, 96×64", _grouped((17, 0, 70, 33, 1, 5, 64, 2), 96, 64)),
            Case("1 group of 1", _grouped((1,), 1, 1)),
            Case("3 groups, bias and silu", _grouped((9, 0, 30), 35, 21, bias=True, activation="silu")),
        ),
    ),
)  # fmt: skip
