"""The vector loops of the CPU schedule: every dtype, either direction of memory, edges, folds, carried tiles."""

from __future__ import annotations

import math
import sys
from pathlib import Path

import numpy as np
import pytest

import portkernel as pk
from portkernel import targets
from portkernel.backends.c import layout, lower
from portkernel.backends.opencl import OpenCLBackend
from portkernel.frontend import KernelFn
from portkernel.ir import walk
from portkernel.ir.simt import Interleave, ReadElem, WriteElem

sys.path.insert(0, str(Path(__file__).parent))
import lower_launch as direct
from test_lower import check

needs_pocl = pytest.mark.skipif(not direct.available(), reason="PoCL is not installed")
SHAPES = ((13, 37), (40, 3))
"""Arrays that the tiles of 8 × 16 below cover in whole, in part, or hardly."""
LAYOUTS = ("rows", "columns", "reversed")


def laid_out(x: np.ndarray, how: str) -> np.ndarray:
    match how:
        case "columns":
            return np.asfortranarray(x)
        case "reversed":
            return np.ascontiguousarray(x[:, ::-1])[:, ::-1]
        case _:
            return x


def numbers(shape, dtype):
    return np.random.default_rng(5).integers(-20, 20, shape).astype(dtype)


def grid(shape):
    return (-(-shape[0] // 8), -(-shape[1] // 16), 1)


def lanes_of(function, args, **constants) -> set[int]:
    """The widths of what is read and written."""
    made = lower(direct.lowered(KernelFn(function), args, constants), direct.CPU)
    found = set()
    for op in walk(made.body):
        if isinstance(op, ReadElem):
            found.add(op.result.vec.lanes)
        elif isinstance(op, WriteElem):
            found.add(op.value.vec.lanes)
    return found


def mixture(x, y, mask, out):
    i, j = pk.program_id(0), pk.program_id(1)
    a = pk.load(x, (i, j), (8, 16), pad=3)
    b = pk.load(y, (j,), (16,))[None, :]
    keep = pk.load(mask, (i, j), (8, 16)) & (a < b.astype(a.dtype))
    pk.store(out, (i, j), pk.where(keep, a + 1, a - b.astype(a.dtype)).astype(out.dtype))


@needs_pocl
@pytest.mark.parametrize("how", LAYOUTS)
@pytest.mark.parametrize("dtypes", [
    ("float16", "float32", "float16"), ("float16", "int8", "float64"), ("int8", "int8", "int8"),
    ("uint8", "int16", "int64"), ("int64", "uint16", "float32"),
])  # fmt: skip
def test_mixed_widths_and_masks(dtypes, how):
    for shape in SHAPES:
        x, y = numbers(shape, dtypes[0]), numbers(shape[1:], dtypes[1])
        mask = np.random.default_rng(1).integers(0, 2, shape).astype(bool)
        args = {
            "x": laid_out(x, how),
            "y": y,
            "mask": laid_out(mask, how),
            "out": laid_out(np.zeros(shape, dtypes[2]), how),
        }
        check("cpu", mixture, args, grid(shape))


def plain(x, out):
    i, j = pk.program_id(0), pk.program_id(1)
    pk.store(out, (i, j), pk.load(x, (i, j), (8, 16)) + 1)


@pytest.mark.parametrize(("dtype", "lanes"), [
    ("float32", 8), ("float64", 4), ("float16", 8), ("int8", 16), ("int16", 16), ("int64", 4), ("uint32", 8),
])  # fmt: skip
@pytest.mark.parametrize("how", ["rows", "columns"])
def test_vectors_run_where_memory_does(dtype, lanes, how):
    x = laid_out(np.zeros((64, 64), dtype), how)
    tile = min(lanes, 16 if how == "rows" else 8)
    found = lanes_of(plain, {"x": x, "out": laid_out(x.copy(), how)})
    assert tile in found


def fold_rows(x, total, most, place):
    i = pk.program_id(0)
    t = pk.load(x, (i, 0), (8, 48), pad=-100)
    pk.store(total, (i,), pk.where(t == -100, 0, t).astype(pk.int64).sum(axis=1))
    pk.store(most, (i,), t.max(axis=1))
    pk.store(place, (i,), t.argmax(axis=1).astype(pk.int64))


def fold_columns(x, total, most, place):
    i = pk.program_id(0)
    t = pk.load(x, (0, i), (24, 32), pad=-100)
    pk.store(total, (i,), pk.where(t == -100, 0, t).astype(pk.int64).sum(axis=0))
    pk.store(most, (i,), t.min(axis=0))
    pk.store(place, (i,), t.argmin(axis=0).astype(pk.int64))


@needs_pocl
@pytest.mark.parametrize("how", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16", "int8"])
def test_folds_along_and_across(dtype, how):
    for shape in ((24, 48), (11, 37)):
        x = laid_out(numbers(shape, dtype), how)
        for function, n, tile in ((fold_rows, shape[0], 8), (fold_columns, shape[1], 32)):
            args = {"x": x, "total": np.zeros(n, np.int64), "most": np.zeros(n, dtype), "place": np.zeros(n, np.int64)}
            check("cpu", function, args, (-(-n // tile), 1, 1))


@needs_pocl
@pytest.mark.parametrize("dtype", ["float32", "float64", "float16"])
@pytest.mark.parametrize("how", ["rows", "columns"])
def test_the_first_of_equals_and_the_first_nan(dtype, how):
    x = np.zeros((16, 48), dtype)
    x[1, 40] = x[1, 7] = x[1, 33] = 5
    x[2, 31] = x[2, 30] = x[2, 47] = np.nan
    x[3] = np.nan
    x[4] = -np.inf
    x[5, [0, 9, 47]] = np.inf
    x[6, 47], x[7, 8], x[8, 1:] = 1, -1, -1
    x = laid_out(x, how)
    for function, n in ((fold_rows, 16), (fold_columns, 48)):
        args = {"x": x, "total": np.zeros(n, np.int64), "most": np.zeros(n, dtype), "place": np.zeros(n, np.int64)}
        direct.launch(KernelFn(function), (2, 1, 1), args, {}, direct.CPU)
        if function is fold_rows:
            np.testing.assert_array_equal(args["place"], x.argmax(axis=1))
            np.testing.assert_array_equal(args["most"], x.max(axis=1))
        else:
            np.testing.assert_array_equal(
                args["place"], np.pad(x, ((0, 8), (0, 0)), constant_values=-100).argmin(axis=0)
            )


def carried(x, out, other):
    a = pk.load(x, (0, 0), (8, 16))
    b = a * 2
    c = a.astype(pk.int32)
    for k in range(3):
        better = a > b
        a, b, c = pk.where(better, b, a + k), a - b, pk.where(better, c + 1, c)
    pk.store(out, (0, 0), a + b)
    pk.store(other, (0, 0), c)


def swapped_with_neighbours(x, out, other):
    a = pk.load(x, (0, 0), (8, 16))
    b = a * 2
    c = a.astype(pk.int32)
    for _ in range(3):
        turned = pk.reshape(pk.transpose(a), (8, 16))
        a, b, c = b, turned + 1, c + a.astype(pk.int32)
    pk.store(out, (0, 0), a - b)
    pk.store(other, (0, 0), c)


@needs_pocl
@pytest.mark.parametrize("function", [carried, swapped_with_neighbours])
@pytest.mark.parametrize("how", ["rows", "columns"])
def test_carried_tiles_change_together(function, how):
    x = laid_out(numbers((8, 16), np.float32), how)
    check("cpu", function, {"x": x, "out": np.zeros((8, 16), np.float32), "other": np.zeros((8, 16), np.int32)})


def window(x, out):
    i = pk.program_id(0)
    pk.store(out, (i, 0), pk.load(x, (i, 0), (16, 24), pad=7) * 2)


@needs_pocl
def test_small_floats_keep_their_bits_at_edges():
    special = np.array([0.0, -0.0, np.inf, -np.inf, 6e-8, -6e-5, 65504, 1.0009765625], np.float16)
    x = np.resize(special, (21, 19)).copy()
    args = {"x": x, "out": np.zeros_like(x)}
    check("cpu", window, args, (2, 1, 1))
    assert args["out"].view(np.uint16).tolist() == (x * np.float16(2)).view(np.uint16).tolist()


def test_operands_of_products_are_not_turned():
    def product(a, b, out):
        acc = pk.zeros((16, 16), pk.float32)
        pk.store(out, (0, 0), pk.dot(pk.load(a, (0, 0), (16, 16)), pk.load(b, (0, 0), (16, 16)), acc))

    x = np.zeros((16, 16), np.float32)
    func = direct.lowered(
        KernelFn(product), {"a": np.asfortranarray(x), "b": np.asfortranarray(x), "out": np.asfortranarray(x)}, {}
    )
    assert layout.choose(func, direct.CPU).turned == {}


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16, np.int8])
@pytest.mark.parametrize("sides", [(16, 32, 40), (24, 16, 16), (8, 64, 32), (32, 48, 32)])
@needs_pocl
def test_a_transposed_operand_is_packed_by_squares(dtype, sides):
    """Whole panels and a narrow one, a depth with a rest, and boxes that reach over the end."""
    m, n, k = sides

    def product(a, b, out, M: pk.constexpr = 16, N: pk.constexpr = 16, K: pk.constexpr = 16):
        kind = pk.int32 if a.dtype == pk.int8 else pk.float64 if a.dtype == pk.float64 else pk.float32
        left, right = pk.load(a, (0, 0), (M, K)), pk.load(b, (0, pk.program_id(0)), (K, N))
        pk.store(out, (0, pk.program_id(0)), pk.dot(left, right, pk.zeros((M, N), kind)))

    wide = {np.int8: np.int32, np.float16: np.float32}.get(dtype, dtype)
    x, y = numbers((m, k), dtype), numbers((2 * n - 3, k), dtype)
    args = {"a": x, "b": y.T, "out": np.full((m, 2 * n - 3), 99, wide)}
    constants = {"M": m, "N": n, "K": k}
    made = lower(direct.lowered(KernelFn(product), args, constants), direct.CPU)
    assert any(isinstance(op, Interleave) for op in walk(made.body))
    direct.launch(KernelFn(product), (2, 1, 1), args, constants, direct.CPU)
    assert np.array_equal(args["out"], x.astype(np.float64) @ y.astype(np.float64).T)


def test_sides_of_one_do_not_count():
    assert layout.same_sides((1, 4, 1, 5), (4, 5)) == {1: 0, 3: 1}
    assert layout.same_sides((4, 5), (5, 4)) is None
    assert layout.Layouts(1, frozenset(), {(4, 5): 0}).inner((4, 1, 5)) == 0
    assert layout.Layouts(1, frozenset(), {}).inner((4, 1)) == 0


def erf_of(x, out):
    i = pk.program_id(0)
    pk.store(out, (i,), pk.erf(pk.load(x, (i,), (64,))))


@needs_pocl
def test_erf_of_our_own_keeps_its_bound():
    x = np.concatenate([np.linspace(-6, 6, 4001), 10.0 ** np.arange(-44, 39), [np.nan, np.inf, -np.inf]]).astype(
        np.float32
    )
    args = {"x": x, "out": np.zeros_like(x)}
    target = targets.variant(direct.CPU, features=direct.CPU.features | {"scalar_math"})
    text = direct.launch(KernelFn(erf_of), (-(-x.size // 64), 1, 1), args, {}, target)
    assert "pk_erf_x8" in text
    want = np.array([math.erf(v) for v in x.astype(np.float64)])
    finite = np.isfinite(want)
    ulp = np.abs(args["out"] - want)[finite] / np.spacing(np.abs(want[finite]).astype(np.float32))
    assert ulp.max() <= 4
    assert np.isnan(args["out"][-3]) and args["out"][-2] == 1 and args["out"][-1] == -1


def exp_of(x, out):
    i = pk.program_id(0)
    pk.store(out, (i,), pk.exp(pk.load(x, (i,), (64,))))


def exp_arguments():
    nans = np.array([0x7F800001, 0x7FC00001, 0xFF800001, 0xFFFFFFFF], np.uint32).view(np.float32)
    edges = np.float32(
        [0, -0.0, 88.72283, 88.72284, 88.8, 89, 1e9, -87.33, -87.34, -103.9, -104, -104.1, -1e9, np.inf, -np.inf]
    )
    return np.concatenate([np.linspace(-104, 88.7, 40001, dtype=np.float32), edges, nans])


def check_exp(x, out):
    with np.errstate(over="ignore", invalid="ignore"):
        want = np.exp(x.astype(np.float64))
        rounded = want.astype(np.float32)
        ulp = np.abs(out.astype(np.float64) - want) / np.spacing(rounded)
    finite = np.isfinite(rounded)
    assert ulp[finite].max() <= 1.2 and (out[(x < -87.4) & (x > -103)] > 0).all()  # subnormal, not flushed
    assert np.array_equal(out[~finite], rounded[~finite], equal_nan=True)


@needs_pocl
def test_exp_of_our_own_keeps_its_bound_from_end_to_end():
    x = exp_arguments()
    args = {"x": x, "out": np.zeros_like(x)}
    target = targets.variant(direct.CPU, features=direct.CPU.features | {"scalar_math"}, vector_bytes=32)
    text = direct.launch(KernelFn(exp_of), (-(-x.size // 64), 1, 1), args, {}, target)
    assert "pk_exp_x8" in text
    check_exp(x, args["out"])


@needs_pocl
def test_exp_with_the_device_s_widest_vectors_keeps_its_bound():
    """With AVX-512 it is scaled by an instruction of its own."""
    x = exp_arguments()
    out = np.full_like(x, np.nan)
    pk.kernel(exp_of)[(-(-x.size // 64),)](x, out, backend="opencl", device="Portable")
    check_exp(x, out)


def tanh_of(x, out):
    i = pk.program_id(0)
    pk.store(out, (i,), pk.tanh(pk.load(x, (i,), (64,))))


@needs_pocl
@pytest.mark.parametrize("width", [16, 32])
def test_tanh_of_our_own_keeps_its_bound_from_end_to_end(width):
    tiny = np.float32([0, -0.0, 1e-45, -1e-45, 1e-38, 0.55, np.nextafter(np.float32(0.55), np.float32(0))])
    far = np.float32([9, 44, 45, 1e9, np.inf, np.nan])
    x = np.concatenate([np.linspace(-12, 12, 40001, dtype=np.float32), tiny, far, -far])
    args = {"x": x, "out": np.zeros_like(x)}
    target = targets.variant(direct.CPU, features=direct.CPU.features | {"scalar_math"}, vector_bytes=width)
    text = direct.launch(KernelFn(tanh_of), (-(-x.size // 64), 1, 1), args, {}, target)
    assert f"pk_tanh_x{width // 4}(" in text
    want = np.tanh(x.astype(np.float64))
    ulp = np.abs(args["out"] - want) / np.spacing(np.abs(want).astype(np.float32))
    assert np.nanmax(ulp) <= 2
    assert np.array_equal(np.isnan(args["out"]), np.isnan(x))
    numbers = ~np.isnan(x)
    assert np.array_equal(np.signbit(args["out"][numbers]), np.signbit(x[numbers]))  # zero's, too


def test_exp_is_the_device_s_where_that_is_as_fast():
    func = direct.lowered(KernelFn(exp_of), {"x": np.ones(64, np.float32), "out": np.ones(64, np.float32)}, {})
    assert "pk_exp" not in OpenCLBackend().emit(func, direct.CPU).text
