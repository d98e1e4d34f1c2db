"""Products against float64 and exact integers, within the stated bound; outputs are poisoned beforehand."""

from __future__ import annotations

import numpy as np
import pytest

import portkernel as pk
from portkernel import catalog, errors, targets

catalog.package()
from portkernel.kernels import activations  # noqa: E402  # after the library has been found
from portkernel.kernels.matmul import grouped_matmul, matmul, matmul_list, sizes  # noqa: E402
from portkernel.kernels.matmul.reference import bound, reference  # noqa: E402

ROUTES = ("numpy", "opencl")


@pytest.fixture(params=ROUTES)
def route(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "opencl":
        pytest.importorskip("pyopencl")
        return {"backend": "opencl", "device": "pocl"}
    return {"backend": request.param}


def rand(shape, dtype=pk.float32, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    rng = np.random.default_rng([seed, *shape])
    if dtype.is_float:
        return (rng.standard_normal(shape) * scale).astype(dtype.np)
    return rng.integers(dtype.min, dtype.max, shape, endpoint=True).astype(dtype.np)


def check(a, b, route, extra=None, activation="none", shape=None, stored=None, **options) -> np.ndarray:
    """Run into a poisoned output and compare; ``extra`` as in ``reference``."""
    dtype = pk.dtypes.as_dtype(a.dtype)
    extra = dict(extra or {})
    factors = {k: options[k] for k in ("alpha", "beta") if k in options}
    fused = {k: v for k, v in extra.items() if k != "out"}
    want = reference(a, b, extra, activation, **factors)
    stored = stored or dtype
    out = extra["out"].copy() if "out" in extra else catalog.poison(want.shape, stored)
    got = matmul(a, b, out, activation=activation, **fused, **options, **route)
    assert got is out
    limit = bound(a, b, extra, dtype, stored, activation=activation, splits=8, **factors)
    assert catalog.ratio(np.asarray(got), want, limit) <= 1
    return got


# --- ranks and shapes ---------------------------------------------------------------------------------------

SHAPES = [
    ((33, 40), (40, 17)),
    ((40,), (40, 17)),
    ((33, 40), (40,)),
    ((40,), (40,)),
    ((5, 1, 9, 11), (3, 11, 6)),
    ((5, 3, 7, 10), (10,)),
    ((10,), (5, 3, 10, 7)),
    ((2, 3, 2, 3, 9, 8), (8, 9)),
    ((4, 1, 8), (4, 8, 70)),
    ((1, 1), (1, 1)),
]


@pytest.mark.parametrize(("a", "b"), SHAPES, ids=str)
def test_ranks_are_those_of_numpy(a, b, route) -> None:
    x, y = rand(a), rand(b, seed=1)
    got = matmul(x, y, **route)
    want = np.matmul(x.astype(np.float64), y.astype(np.float64))
    assert got.shape == want.shape
    assert got.dtype == np.float32
    size = np.matmul(np.abs(x.astype(np.float64)), np.abs(y.astype(np.float64)))
    assert (np.abs(got - want) <= catalog.gamma(a[-1] + 6, pk.float32) * size + 1e-40).all()


@pytest.mark.parametrize(
    ("a", "b"), [((3, 0), (0, 4)), ((0,), (0,)), ((0, 3), (3, 4)), ((2, 0, 3, 4), (4, 5)), ((3, 4), (4, 0)), ((5, 0), (0,))], ids=str,
)  # fmt: skip
def test_empties(a, b, route) -> None:
    want = np.matmul(np.zeros(a, np.float32), np.zeros(b, np.float32))
    out = catalog.poison(want.shape, pk.float32)
    assert matmul(np.zeros(a, np.float32), np.zeros(b, np.float32), out, **route) is out
    assert np.array_equal(out, want)


def test_views_are_not_copied(route) -> None:
    """Transposed, reversed, broadcast and strided operands, and a strided output whose gaps stay."""
    check(rand((40, 33)).T, rand((17, 40), seed=1).T, route)
    check(rand((66, 80))[::-2, ::-2], rand((40, 51), seed=1)[:, ::3], route)
    check(np.broadcast_to(rand((40,)), (33, 40)), np.broadcast_to(rand((40, 1), seed=1), (40, 17)), route)
    check(np.broadcast_to(rand((1, 9, 8)), (6, 9, 8)), rand((6, 7, 8), seed=1).swapaxes(1, 2), route)
    heads = rand((2, 13, 3, 8))  # (batch, sequence, heads, features): two batch axes that do not merge
    check(heads.transpose(0, 2, 1, 3), heads.transpose(0, 2, 3, 1), route)
    a, b, wide = rand((9, 8)), rand((8, 7), seed=1), np.full((18, 21), 7, np.float32)
    matmul(a, b, wide[::2, ::3], **route)
    assert catalog.ratio(wide[::2, ::3], reference(a, b, {}), bound(a, b, {}, pk.float32, pk.float32)) <= 1
    assert (np.delete(wide, np.s_[::2], axis=0) == 7).all()


# --- dtypes -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [pk.float64, pk.float16, pk.bfloat16, pk.float8_e4m3fn, pk.float8_e5m2], ids=str)
def test_floats(dtype, route) -> None:
    stored = pk.float32 if dtype.bits == 8 else dtype
    check(rand((19, 37), dtype), rand((37, 21), dtype, 1), route, stored=stored)
    check(rand((19, 37), dtype), rand((37, 1), dtype, 1), route, stored=stored)
    check(rand((2, 37), dtype), rand((37, 19), dtype, 1), route, stored=stored)


@pytest.mark.parametrize("dtype", [pk.int8, pk.uint8, pk.int16, pk.int32, pk.int64], ids=str)
def test_integers_are_exact_and_wrap(dtype, route) -> None:
    a, b = rand((19, 37), dtype), rand((37, 21), dtype, 1)
    got = matmul(a, b, **route)
    wide = np.int64 if dtype == pk.int64 else np.int32
    assert got.dtype == wide
    assert np.array_equal(got, np.matmul(a.astype(wide), b.astype(wide)))
    assert np.array_equal(matmul(a, b[:, 0], **route), np.matmul(a.astype(wide), b[:, 0].astype(wide)))


def test_operands_of_two_dtypes_are_promoted(route) -> None:
    a, b = rand((9, 8)), rand((8, 7), pk.float64, 1)
    got = matmul(a, b, **route)
    assert got.dtype == np.float64
    assert np.abs(got - a @ b).max() < 1e-14
    small, large = rand((9, 8), pk.int8), rand((8, 7), pk.int32, 1)
    assert np.array_equal(matmul(small, large, **route), small.astype(np.int32) @ large)
    x, y = rand((9, 8), pk.float8_e4m3fn), rand((8, 7), pk.float8_e5m2, 1)
    assert np.abs(matmul(x, y, dtype=pk.float32, **route) - reference(x, y, {})).max() < 1e-4
    yes, no = rand((9, 8), pk.int8) > 90, rand((8, 7), pk.int8, 1) > 90
    assert np.array_equal(matmul(yes, no, **route), yes @ no)


def test_tf32_rounds_its_operands(route) -> None:
    a, b = np.full((3, 5), 1 + 2.0**-12, np.float32), np.ones((5, 2), np.float32)
    assert (matmul(a, b, precision="tf32", **route) == 5).all()
    assert (matmul(a, b, **route) == np.float32(5 + 5 * 2.0**-12)).all()


def test_large_tiny_and_special_values(route) -> None:
    check(rand((9, 33), scale=1e15), rand((33, 7), seed=1, scale=1e15), route)
    check(rand((9, 33), scale=1e-18), rand((33, 7), seed=1, scale=1e-18), route)
    a, b = rand((9, 33)), rand((33, 7), seed=1)
    a[2, 3], a[4, 5], a[6, 6] = np.nan, np.inf, -np.inf
    for right in (b, b[:, :1]):
        with np.errstate(invalid="ignore"):
            want = a.astype(np.float64) @ right.astype(np.float64)
        got = matmul(a, right, **route)
        assert np.array_equal(np.isnan(got), np.isnan(want))
        assert np.array_equal(got[np.isinf(want)], want[np.isinf(want)].astype(np.float32))


# --- what is fused ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", activations.NAMES)
def test_activations(activation, route) -> None:
    check(rand((19, 37)), rand((37, 21), seed=1), route, {"bias": rand((21,))}, activation)


@pytest.mark.parametrize("n", [21, 2])
def test_everything_at_once(n, route) -> None:
    extra = {
        "scale": rand((19, 1), seed=2),
        "bias": rand((n,), seed=3),
        "residual": rand((5, 19, n), seed=4),
        "out": rand((5, 19, n), seed=5),
    }
    check(rand((5, 19, 37)), rand((37, n), seed=1), route, extra, "silu", alpha=0.75, beta=-2.0)


def test_beta_of_zero_does_not_read_out(route) -> None:
    check(rand((19, 37)), rand((37, 21), seed=1), route, alpha=2)  # the output is NaN before


def test_a_function_of_the_user(route) -> None:
    limit = 1.5

    def clipped(x):
        return pk.clip(x, -limit, limit) * 2.0

    a, b = rand((19, 37)), rand((37, 21), seed=1)
    got = matmul(a, b, activation=clipped, **route)
    want = np.clip(a.astype(np.float64) @ b.astype(np.float64), -1.5, 1.5) * 2
    assert np.abs(got - want).max() < 1e-4
    assert np.abs(matmul(a, b[:, 0], activation=lambda x: x + 1.0, **route) - (a @ b[:, 0] + 1)).max() < 1e-4


def test_integer_sums_meet_real_operands_in_float32(route) -> None:
    a, b, scale = rand((19, 37), pk.int8), rand((37, 21), pk.int8, 1), np.abs(rand((21,), seed=2))
    got = check(a, b, route, {"scale": scale}, "relu", stored=pk.float32)
    assert got.dtype == np.float32
    assert matmul(a, b, scale=scale, dtype=pk.float16, **route).dtype == np.float16
    whole = matmul(a, b, bias=np.arange(21, dtype=np.int32), activation="relu", **route)
    assert np.array_equal(whole, np.maximum(a.astype(np.int32) @ b.astype(np.int32) + np.arange(21), 0))


# --- split depth --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("shape", [(17, 9), (3, 40), (40, 2), (1, 1)], ids=str)
def test_split_depth(shape, route) -> None:
    m, n = shape
    a, b = rand((2, m, 3001)), rand((2, 3001, n), seed=1)
    extra = {"bias": rand((n,)), "residual": rand((2, m, n), seed=3)}
    got = check(a, b, route, extra, "relu", splits=7)
    again = matmul(a, b, activation="relu", splits=7, **extra, **route)
    assert got.tobytes() == again.tobytes()


def test_no_more_splits_than_terms() -> None:
    """A million sums of four terms would be a million workspaces of nothing but zeros."""
    pk.reset_stats()
    check(rand((2, 4)), rand((4, 3), seed=1), {"backend": "numpy"}, splits=10**6)
    assert sum(pk.stats().launches.values()) == 2


@pytest.mark.parametrize("shape", [(1, 2100, 300), (1, 4100, 129), (1, 1024, 5000)], ids=str)
def test_a_vector_times_rows_is_split_by_rows(shape, route) -> None:
    m, depth, n = shape
    check(rand((m, depth)), rand((depth, n), seed=1), route, {"bias": rand((n,))}, "relu")
    check(rand((depth,)), rand((depth, n), seed=1), route)


@pytest.mark.parametrize("units", [1, 2, 16, 64])
def test_a_cpu_of_any_size_has_programs_enough_for_a_vector(units: int) -> None:
    cpu = targets.variant(targets.find("opencl-cpu"), units=units)
    for n, depth, matrices in ((4096, 4096, 1), (300, 1024, 3), (9000, 70000, 1)):
        splits = max(1, sizes.row_parts(cpu, n, depth, matrices))
        found = sizes.columns(cpu, n, matrices * splits)["BN"]
        programs = matrices * splits * pk.cdiv(n, found)
        assert splits <= depth // 1024 and found <= sizes.WHOLE_ROWS
        assert programs >= min(2 * units, matrices * splits * pk.cdiv(n, 256))
        rows = sizes.rows(cpu, n, depth, matrices, 4)
        assert rows["LINES"] == 1 or matrices * n >= 4 * units * rows["BM"] * rows["LINES"]


def test_an_accelerator_keeps_the_sizes_of_the_model() -> None:
    gpu = targets.find("nvidia-h100")
    assert sizes.row_parts(gpu, 4096, 4096, 1) == 1 and sizes.columns(gpu, 4096, 4) == {}
    assert sizes.rows(gpu, 4096, 4096, 1, 4) == {"BM": 8, "BK": 16, "LINES": 1}


@pytest.mark.parametrize("shape", [(0, 1, 2048, 300), (2, 1, 0, 300), (2, 1, 2048, 0), (0, 300, 2048, 1)], ids=str)
@pytest.mark.parametrize("splits", [None, 2])
def test_empty_products_with_a_vector(shape, splits, route) -> None:
    batch, m, depth, n = shape
    check(rand((batch, m, depth)), rand((batch, depth, n)), route, splits=splits)


@pytest.mark.parametrize("rows", [64, 301], ids=str)
def test_long_rows_times_a_vector_go_several_to_a_program(rows, route) -> None:
    check(rand((rows, 1500)), rand((1500,), seed=1), route)
    check(rand((2, rows, 1024)), rand((2, 1024, 1), seed=1), route, {"bias": rand((1,))}, "relu")


def test_deep_products_are_split_unasked(route) -> None:
    for depth in (4096, 20000):
        pk.reset_stats()
        check(rand((5, depth)), rand((depth, 1), seed=1), route)
        check(rand((5, depth)), rand((depth, 6), seed=1), route)
        combined = sum(n for (name, _), n in pk.stats().launches.items() if name == "matmul_combine")
        assert combined == (1 if depth < 16384 else 2)


# --- groups and lists ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [pk.float32, pk.float16, pk.int8], ids=str)
def test_groups(dtype, route) -> None:
    offsets = np.array([0, 0, 7, 7, 40, 41, 41])
    a, b = rand((41, 35), dtype), rand((6, 35, 19), dtype, 1)
    bias = rand((6, 19), pk.float32, 2) if dtype.is_float else None
    out = catalog.poison((41, 19), pk.int32 if dtype == pk.int8 else dtype)
    assert grouped_matmul(a, b, offsets, out, bias=bias, **route) is out
    for g in range(6):
        rows = slice(offsets[g], offsets[g + 1])
        extra = {} if bias is None else {"bias": bias[g]}
        stored = pk.dtypes.as_dtype(out.dtype)
        limit = bound(a[rows], b[g], extra, dtype, stored)
        assert catalog.ratio(out[rows], reference(a[rows], b[g], extra), limit) <= 1


def test_groups_with_views_and_no_rows(route) -> None:
    a, b = rand((40, 12))[::-2, ::2], rand((2, 5, 6), seed=1).swapaxes(1, 2)
    got = grouped_matmul(a, b, np.array([0, 3, 20], np.int32), activation="relu", **route)
    want = np.maximum(np.concatenate([a[:3] @ b[0], a[3:] @ b[1]]), 0)
    assert np.abs(got - want).max() < 1e-4
    assert grouped_matmul(a[:0], b, np.zeros(3, np.int64), **route).shape == (0, 5)


def test_lists_of_matrices(route) -> None:
    sizes = [(3, 5, 4), (70, 130, 9), (0, 6, 5), (33, 0, 2), (2, 3, 0), (1, 1, 1)]
    a = [rand((m, k), seed=i) for i, (m, _, k) in enumerate(sizes)]
    b = [rand((n, k), seed=i + 9).T for i, (_, n, k) in enumerate(sizes)]
    for got, x, y in zip(matmul_list(a, b, **route), a, b, strict=True):
        assert catalog.ratio(got, reference(x, y, {}), bound(x, y, {}, pk.float32, pk.float32)) <= 1
    out = [catalog.poison((m, n), pk.float32) for m, n, _ in sizes]
    assert matmul_list(a, b, out, **route)[1] is out[1]
    assert not np.isnan(np.concatenate([x.ravel() for x in out])).any()
    assert matmul_list([], []) == []


# --- other libraries, other routes --------------------------------------------------------------------------


def test_torch_tensors(route) -> None:
    torch = pytest.importorskip("torch")
    a, b = torch.randn(3, 9, 8), torch.randn(7, 8).T
    got = matmul(a, b, bias=torch.ones(7), **route)
    assert isinstance(got, torch.Tensor)
    assert torch.allclose(got, a @ b + 1, atol=1e-5)
    half = matmul(a.bfloat16(), b.bfloat16(), dtype=pk.float32, **route)
    assert half.dtype == torch.float32
    assert torch.allclose(half, a.bfloat16().float() @ b.bfloat16().float(), atol=1e-5)
    assert torch.allclose(grouped_matmul(a[0], b[None], torch.tensor([0, 9]), **route), a[0] @ b, atol=1e-5)
    assert torch.allclose(matmul_list([a[0], a[1]], [b, b], **route)[1], a[1] @ b, atol=1e-5)


def test_triton_interpreter() -> None:
    pytest.importorskip("triton")
    route = {"backend": "triton", "device": "interpreter"}
    check(rand((2, 19, 37)), rand((37, 21), seed=1), route, {"bias": rand((21,))}, "gelu_tanh")
    check(rand((5, 2100)), rand((2100, 6), seed=1), route, splits=2)
    check(rand((19, 37)), rand((37, 1), seed=1), route)
    check(rand((2, 37), pk.float16), rand((37, 19), pk.float16, 1), route)
    got = grouped_matmul(rand((9, 8)), rand((2, 8, 7), seed=1), np.array([0, 4, 9]), **route)
    assert np.abs(got[4:] - rand((9, 8))[4:] @ rand((2, 8, 7), seed=1)[1]).max() < 1e-5


# --- mistakes -----------------------------------------------------------------------------------------------

F = np.zeros((3, 4), np.float32)
G = np.zeros((4, 5), np.float32)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: matmul(F, F), errors.ArgumentShapeError, "matmul(): b: expected 4 rows"),
        (lambda: matmul(np.float32(1), F), errors.ArgumentTypeError, "matmul(): a: expected an array"),
        (lambda: matmul(np.array(1.0), F), errors.ArgumentShapeError, "matmul(): a: expected at least 1 dimension"),
        (lambda: matmul([[1.0]], F), errors.ArgumentTypeError, "matmul(): a: expected an array, got list"),
        (lambda: matmul(F.astype(complex), G), errors.ArgumentDTypeError, "matmul(): a: expected a kernel dtype"),
        (lambda: matmul(np.zeros((2, 3, 4)), np.zeros((3, 4, 5))), errors.ArgumentShapeError, "broadcast"),
        (lambda: matmul(F, G, np.zeros((3, 6), np.float32)), errors.ArgumentShapeError, "matmul(): out: expected shape (3, 5)"),
        (lambda: matmul(F, G, np.zeros((3, 5), np.int32)), errors.ArgumentDTypeError, "matmul(): out: expected"),
        (lambda: matmul(F, G, bias=np.zeros(4, np.float32)), errors.ArgumentShapeError, "matmul(): bias: expected a shape"),
        (lambda: matmul(F, G, beta=1.0), errors.ArgumentError, "matmul(): out: expected an array for beta"),
        (lambda: matmul(F, G, activation="swish"), errors.ArgumentError, "matmul(): activation: expected one of"),
        (lambda: matmul(F, G, precision="fast"), errors.ArgumentError, "matmul(): precision: expected one of"),
        (lambda: matmul(F, G, splits=0), errors.ArgumentError, "matmul(): splits: expected at least 1"),
        (lambda: matmul(F, G, dtype="int32"), errors.ArgumentDTypeError, "matmul(): dtype: expected a float"),
        (lambda: grouped_matmul(F, G[None], np.array([0, 2])), errors.ArgumentError, "offsets: expected values that rise"),
        (lambda: grouped_matmul(F, G, np.array([0, 3])), errors.ArgumentShapeError, "grouped_matmul(): b: expected (groups, 4"),
        (lambda: grouped_matmul(F, G[None], np.array([0.0, 3.0])), errors.ArgumentDTypeError, "offsets: expected integers"),
        (lambda: matmul_list([F], [F]), errors.ArgumentShapeError, "matmul_list(): b[0]: expected two matrices"),
    ],
)  # fmt: skip
def test_mistakes(call, kind, message) -> None:
    with pytest.raises(kind) as found:
        call()
    assert message in found.value.message


def test_a_masked_array_is_refused() -> None:
    with pytest.raises(errors.ArgumentTypeError, match="got a masked array"):
        matmul(np.ma.masked_invalid(F), G)


def test_an_output_that_shares_memory_is_refused_unwritten(route) -> None:
    x = rand((8, 8))
    kept = x.copy()
    with pytest.raises(errors.OverlapError):
        matmul(x, x.T, x, **route)
    assert np.array_equal(x, kept)
