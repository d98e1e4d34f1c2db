"""Attention and its gradients against float64 with the scores in full, within the stated bounds."""

from __future__ import annotations

import numpy as np
import pytest

import portkernel as pk
from portkernel import catalog, errors

catalog.package()
from portkernel.kernels import attention as family  # noqa: E402  # after the library has been found
from portkernel.kernels.attention.reference import (  # noqa: E402  # noqa: E402
    bounds,
    gradient_bounds,
    gradients,
    mask_gradient_bound,
    slopes,
    summed,
    truth,
)

attention = family.scaled_dot_product_attention
backward = family.scaled_dot_product_attention_backward
mask_gradient = family.scaled_dot_product_attention_mask_gradient


@pytest.fixture(params=("numpy", "opencl"))
def route(request: pytest.FixtureRequest) -> dict[str, str]:
    if request.param == "opencl":
        pytest.importorskip("pyopencl")
        return {"backend": "opencl", "device": "pocl"}
    return {"backend": request.param}


def rand(shape, dtype=pk.float32, seed: int = 0, scale: float = 1.0) -> np.ndarray:
    return (np.random.default_rng([seed, *shape]).standard_normal(shape) * scale).astype(dtype.np)


def inputs(b, h, g, s, t, d, e, dtype=pk.float32, scale: float = 1.0) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    shapes = ((b, h, s, d), (b, g, t, d), (b, g, t, e))
    return tuple(rand(shape, dtype, i, scale) for i, shape in enumerate(shapes))  # type: ignore[return-value]


def check(q, k, v, route, mask=None, *, causal=False, scale=None, gradient=True) -> np.ndarray:
    """Forward into a poisoned output, then the gradients; all within their bounds."""
    dtype = pk.dtypes.as_dtype(q.dtype)
    options = {"is_causal": causal, "enable_gqa": True, **route}
    factor = float(np.float32(q.shape[-1] ** -0.5)) if scale is None else scale
    known = truth(q, k, v, mask, factor, causal, dtype)
    out = catalog.poison(known.out.shape, dtype)
    got, lse = attention(q, k, v, mask, scale=factor, out=out, return_lse=True, **options)
    assert got is out
    limits = bounds(known)
    assert catalog.ratio(got, known.out, limits["out"]) <= 1
    assert catalog.ratio(lse, known.lse, limits["lse"]) <= 1
    if gradient:
        grad = rand(out.shape, dtype, 7)
        found = backward(grad, q, k, v, got, lse, mask, scale=factor, **options)
        want, allowed = gradients(known, catalog.exact(grad)), gradient_bounds(known, catalog.exact(grad))
        for name, slope in zip(("dq", "dk", "dv"), found, strict=True):
            assert catalog.ratio(slope, want[name], allowed[name]) <= 1, name
    return got


@pytest.mark.parametrize("dtype", [pk.float32, pk.float64, pk.float16, pk.bfloat16], ids=str)
def test_dtypes(dtype, route) -> None:
    check(*inputs(2, 2, 2, 33, 50, 16, 24, dtype), route, gradient=dtype in (pk.float32, pk.float16))


@pytest.mark.parametrize(
    "sizes", [(1, 1, 1, 1, 1, 1, 1), (1, 6, 2, 9, 130, 5, 3), (3, 2, 1, 70, 7, 8, 8), (1, 2, 2, 1, 65, 32, 32)], ids=str
)
def test_sizes_and_shared_heads(sizes, route) -> None:
    check(*inputs(*sizes), route)


@pytest.mark.parametrize(("s", "t"), [(65, 65), (70, 20), (20, 70)])
def test_causal(s, t, route) -> None:
    check(*inputs(1, 2, 1, s, t, 8, 8), route, causal=True)


def test_masks(route) -> None:
    q, k, v = inputs(2, 4, 2, 17, 33, 8, 8)
    rng = np.random.default_rng(3)
    look = rng.random((2, 1, 17, 33)) < 0.5
    look[1, 0, 5] = False  # a row that may look nowhere
    got = check(q, k, v, route, look)
    assert (got[1, :, 5] == 0).all()
    check(q, k, v, route, rand((4, 1, 33)), gradient=False)  # added, for each head
    check(
        q, k, v, route, rand((17, 1)), gradient=False
    )  # added, the same for all columns: changes nothing but the sums
    padding = np.where(np.arange(33) < 20, 0, -np.inf).astype(np.float32)
    check(q, k, v, route, padding, causal=True)


def check_mask(q, k, v, mask, route, *, causal=False) -> np.ndarray:
    """The gradients for q, k, v and an added mask; all within their bounds."""
    check(q, k, v, route, mask, causal=causal)
    options = {"is_causal": causal, "enable_gqa": True, **route}
    factor = float(np.float32(q.shape[-1] ** -0.5))
    known = truth(q, k, v, mask, factor, causal, pk.dtypes.as_dtype(q.dtype))
    out, lse = attention(q, k, v, mask, scale=factor, return_lse=True, **options)
    grad = rand(out.shape, pk.dtypes.as_dtype(q.dtype), 7)
    found = mask_gradient(grad, q, k, v, out, lse, mask, scale=factor, **options)
    own = pk.dtypes.as_dtype(mask.dtype)
    assert found.shape == mask.shape
    assert found.dtype == mask.dtype
    exact = catalog.exact(grad)
    limit = mask_gradient_bound(known, exact, mask.shape, own)
    assert catalog.ratio(found, summed(slopes(known, exact), mask.shape), limit) <= 1
    return found


@pytest.mark.parametrize(
    "shape", [(2, 4, 17, 33), (17, 33), (4, 1, 1), (2, 1, 17, 1), (1, 4, 1, 33), (2, 1, 1, 33), (1,)], ids=str
)
def test_gradient_for_an_added_mask(shape, route) -> None:
    check_mask(*inputs(2, 4, 2, 17, 33, 8, 5), rand(shape, seed=5), route)


def test_gradient_for_masks_of_other_kinds(route) -> None:
    q, k, v = inputs(2, 2, 2, 70, 65, 8, 8)
    check_mask(q, k, v, rand((70, 65), seed=5), route, causal=True)
    padding = np.where(np.arange(65) < 20, 0, -np.inf).astype(np.float32)
    assert (check_mask(q, k, v, padding, route)[20:] == 0).all()  # masked out: no slope there
    check_mask(q, k, v, rand((65, 70), seed=5).T, route)
    half = inputs(1, 2, 1, 19, 33, 16, 16, pk.float16)
    check_mask(*half, rand((19, 33), pk.float16, 5), route)
    check_mask(q, k, v, rand((1, 65), seed=5) * 100, route)  # exp() of the mask alone is inf
    swapped = [np.stack([x, x]).swapaxes(0, 1) for x in (q, k, v)]  # leading axes that do not merge
    out, lse = attention(*swapped, rand((70, 1), seed=3), return_lse=True, **route)
    both = mask_gradient(out, *swapped, out, lse, rand((70, 1), seed=3), **route)
    out, lse = attention(q, k, v, rand((70, 1), seed=3), return_lse=True, **route)
    once = mask_gradient(out, q, k, v, out, lse, rand((70, 1), seed=3), **route)
    assert np.allclose(both, 2 * once, atol=1e-4)


def test_gradient_for_a_mask_of_nothing(route) -> None:
    q, k, v = inputs(1, 2, 2, 5, 0, 4, 3)
    out, lse = attention(q, k, v, return_lse=True, **route)
    assert mask_gradient(out, q, k, v, out, lse, np.ones((5, 1), np.float32), **route).tolist() == [[0]] * 5


@pytest.mark.parametrize("dtype", ["float32", "float16"])
@pytest.mark.parametrize("features", [128, 256])
def test_gradients_of_many_features_fit_a_small_gpu(dtype, features) -> None:
    """32 KiB of local memory: smaller tiles are chosen."""
    x, sums = pk.TensorSpec(4, dtype), pk.TensorSpec(3, "float32")
    sides = {"HEAD": features, "VALUE": features}
    given, target = (x, x, x, x, x, sums, sums), {"backend": "opencl", "target": "opencl-gpu"}
    assert family.query_kernel.source(*given, x, 1.0, **sides, **target)
    assert family.key_kernel.source(*given, x, x, 1.0, **sides, **target)
    assert family.mask_kernel.source(*given, pk.TensorSpec(4, "float32"), 1.0, **sides, **target)
    assert family.delta_kernel.source(x, x, sums, VALUE=features, **target)


def test_views_are_not_copied(route) -> None:
    packed = rand((2, 19, 3, 4, 8))  # (batch, sequence, q k v, heads, features), as one projection leaves them
    q, k, v = (packed[:, :, n].transpose(0, 2, 1, 3) for n in range(3))
    check(q, k[:, :, ::-1], v[:, ::-1], route, gradient=False)
    whole = np.full((2, 19, 4, 16), 7, np.float32)
    out = whole[..., ::2].transpose(0, 2, 1, 3)
    attention(q, k, v, out=out, **route)
    assert np.allclose(out, attention(q, k, v, **route), atol=1e-6)
    assert (whole[..., 1::2] == 7).all()


def test_fewer_and_more_axes(route) -> None:
    q, k, v = inputs(2, 3, 3, 9, 10, 8, 8)
    want = attention(q, k, v, **route)
    assert np.allclose(attention(q[0], k[0], v[0], **route), want[0], atol=1e-6)
    assert np.allclose(attention(q[0, 0], k[0, 0], v[0, 0], **route), want[0, 0], atol=1e-6)
    five = attention(q[None], k[None], v[None], np.ones((9, 10), np.bool_), **route)
    assert np.allclose(five[0], want, atol=1e-6)
    swapped = [np.stack([x, x]).swapaxes(0, 1) for x in (q, k, v)]  # leading axes that do not merge
    assert np.allclose(attention(*swapped, **route)[:, 1], want, atol=1e-6)


def test_empties(route) -> None:
    q, k, v = inputs(1, 2, 2, 5, 0, 4, 3)
    out, lse = attention(q, k, v, out=catalog.poison((1, 2, 5, 3), pk.float32), return_lse=True, **route)
    assert (out == 0).all()
    assert np.isneginf(lse).all()
    dq, dk, dv = backward(out, q, k, v, out, lse, **route)
    assert (dq == 0).all()
    assert dk.shape == k.shape
    assert dv.shape == v.shape
    assert attention(*inputs(0, 2, 2, 5, 6, 4, 3), **route).shape == (0, 2, 5, 3)
    assert attention(*inputs(1, 2, 2, 0, 6, 4, 3), **route).shape == (1, 2, 0, 3)


def test_large_and_special_values(route) -> None:
    q, k, v = inputs(1, 1, 1, 9, 70, 8, 8, scale=6.0)  # scores in the hundreds: exp without the maximum would overflow
    check(q, k, v, route, scale=1.0)
    check(*inputs(1, 1, 1, 9, 70, 8, 8, scale=1e-18), route)
    q[0, 0, 3, 2] = np.nan
    got = attention(q, k, v, **route)
    assert np.isnan(got[0, 0, 3]).all()
    assert np.isfinite(np.delete(got, 3, axis=2)).all()


def test_every_run_gives_the_same_bits(route) -> None:
    q, k, v = inputs(1, 4, 2, 40, 70, 8, 8)
    first, second = (attention(q, k, v, enable_gqa=True, return_lse=True, **route) for _ in range(2))
    assert first[0].tobytes() == second[0].tobytes()
    a, b = (backward(q, q, k, v, *first, enable_gqa=True, **route) for _ in range(2))
    assert all(x.tobytes() == y.tobytes() for x, y in zip(a, b, strict=True))


def test_torch_agrees(route) -> None:
    torch = pytest.importorskip("torch")
    q, k, v = (torch.from_numpy(x).requires_grad_() for x in inputs(1, 4, 2, 19, 33, 8, 8))
    want = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    plain = [x.detach() for x in (q, k, v)]
    out, lse = attention(*plain, is_causal=True, enable_gqa=True, return_lse=True, **route)
    assert isinstance(out, torch.Tensor)
    assert torch.allclose(out, want, atol=1e-5)
    grad = torch.ones_like(out)
    want.backward(grad)
    for got, x in zip(
        backward(grad, *plain, out, lse, is_causal=True, enable_gqa=True, **route), (q, k, v), strict=True
    ):
        assert torch.allclose(got, x.grad, atol=1e-5)


def test_triton_interpreter() -> None:
    pytest.importorskip("triton")
    check(*inputs(1, 2, 1, 19, 33, 8, 5), {"backend": "triton", "device": "interpreter"}, causal=True)
    look = np.random.default_rng(0).random((19, 33)) < 0.5
    check(*inputs(1, 2, 2, 19, 33, 16, 16, pk.float16), {"backend": "triton", "device": "interpreter"}, look)


Q, K, V = inputs(1, 4, 2, 5, 6, 8, 8)


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: attention(Q, K, V), errors.ArgumentShapeError, "key: expected shape (1, 4, 'T', 'D'), got (1, 2, 6, 8)"),
        (lambda: attention(Q[:, :3], K, V, enable_gqa=True), errors.ArgumentShapeError, "key: expected shape"),
        (lambda: attention(Q[0, 0, 0], K, V), errors.ArgumentShapeError, "query: expected at least 2 dimensions"),
        (lambda: attention(Q[..., :5], K, V, enable_gqa=True), errors.ArgumentShapeError, "key: expected 5 features"),
        (lambda: attention(Q, K, V[:, :, :4], enable_gqa=True), errors.ArgumentShapeError, "value: expected shape"),
        (lambda: attention(Q, K.astype(np.float64), V), errors.ArgumentDTypeError, "key: expected float32"),
        (lambda: attention(Q.astype(np.int32), K, V), errors.ArgumentDTypeError, "query: expected float32"),
        (lambda: attention(Q, K, V, np.ones((5, 7)), enable_gqa=True), errors.ArgumentShapeError, "attn_mask: expected a shape"),
        (lambda: attention(Q, K, V, np.ones((5, 6), int), enable_gqa=True), errors.ArgumentDTypeError, "attn_mask: expected bool"),
        (lambda: attention(Q, K, V, out=Q[:, :2], enable_gqa=True), errors.ArgumentShapeError, "out: expected shape (1, 4, 5, 8)"),
        (lambda: backward(Q[:, :2], Q, K, V, Q, Q[..., 0], enable_gqa=True), errors.ArgumentShapeError, "grad: expected shape"),
        (lambda: mask_gradient(Q, Q, K, V, Q, Q[..., 0], np.ones((5, 6), np.bool_), enable_gqa=True), errors.ArgumentDTypeError, "attn_mask: expected float32"),
        (lambda: mask_gradient(Q, Q, K, V, Q, Q[..., 0], rand((5, 7)), enable_gqa=True), errors.ArgumentShapeError, "attn_mask: expected a shape"),
        (lambda: backward(Q, Q, K, V, Q, Q, enable_gqa=True), errors.ArgumentShapeError, "lse: expected shape (1, 4, 5)"),
    ],
)  # fmt: skip
def test_mistakes(call, kind, message) -> None:
    with pytest.raises(kind) as found:
        call()
    assert message in found.value.message
