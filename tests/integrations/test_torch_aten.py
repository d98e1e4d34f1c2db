"""ATen on our operators, call by call: PyTorch's own samples of every operator, against a float64 run.

``torch_covered.json`` names the operators whose samples must all run under ``strict``. Write it anew with
``PORTKERNEL_GOLDEN=write``, and read the difference.
"""

from __future__ import annotations

import itertools
import json
import os
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("expecttest", reason="PyTorch's table of operators needs expecttest")

from torch.testing._internal.common_methods_invocations import op_db  # noqa: E402

import portkernel as pk  # noqa: E402
from portkernel.errors import FallbackError  # noqa: E402
from portkernel.integrations.torch import dispatch  # noqa: E402
from portkernel.integrations.torch.aten import TABLE, kind_of, why_not  # noqa: E402
from portkernel.integrations.torch.mode import functional_of  # noqa: E402

aten = torch.ops.aten
COVERED = Path(__file__).with_name("torch_covered.json")
SAMPLES = {torch.float32: 2, torch.int64: 1}
"""How many of PyTorch's samples run, of each operator."""
OTHERS = (
    "fft", "linalg", "sparse", "special", "rand", "normal", "bernoulli", "dropout", "multinomial", "uniform", "empty",
    "svd", "lu", "eig", "cholesky", "geqrf", "ormqr", "stft", "signal", "masked.", "jiterator", "torch_sparse", "logdet",
    "inverse", "pinverse", "qr", "det", "triangular_solve", "cdist", "ctc", "igamma", "polygamma", "lgamma", "mvlgamma",
    "nextafter", "unique", "histogram", "histc", "as_strided", "resize", "to_sparse", "view_as_complex", "segment_reduce",
    "hash_tensor", "linear_cross_entropy", "rrelu", "poisson", "index_reduce", "scatter_reduce", "put", "mode", "median",
    "quantile", "kthvalue", "searchsorted", "bucketize", "grid_sample", "max_unpool", "fractional", "embedding_bag",
)  # fmt: skip
"""Words in the names of what has no operator, draws random numbers, or would only test PyTorch's decompositions."""


def operators_and_dtypes() -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return [
            pytest.param(op, dtype, id=f"{name_of(op)}-{str(dtype).removeprefix('torch.')}")
            for op in op_db
            for dtype in SAMPLES
            if not any(word in op.name for word in OTHERS) and dtype in op.supported_dtypes("cpu")
        ]


def name_of(op: Any) -> str:
    return f"{op.name}-{op.variant_test_name}" if op.variant_test_name else op.name


def known() -> dict[str, list[str]]:
    found: dict[str, list[str]] = json.loads(COVERED.read_text()) if COVERED.exists() else {}
    return found


def samples(op: Any, dtype: torch.dtype) -> Iterator[Any]:
    return itertools.islice(op.sample_inputs("cpu", dtype, requires_grad=False), SAMPLES[dtype])


def call(op: Any, sample: Any) -> list[Any]:
    found = op(sample.input, *sample.args, **sample.kwargs)
    return [t for t in torch.utils._pytree.tree_leaves(found) if isinstance(t, torch.Tensor)]


def exact(x: Any) -> Any:
    return x.double() if isinstance(x, torch.Tensor) and x.is_floating_point() else x


def check(op: Any, sample: Any, strict: bool) -> None:
    """Ours is at most four times as far from float64 as PyTorch's, or some roundings."""
    try:
        theirs = call(op, sample)
        want = call(op, sample.transform(exact))
    except (RuntimeError, TypeError, ValueError, IndexError):
        return  # PyTorch refuses the sample, or its float64 form
    with pk.use(backend="numpy"), dispatch(strict=strict):
        ours = call(op, sample)
    assert len(ours) == len(theirs)
    for mine, peer, reference in zip(ours, theirs, want, strict=True):
        assert mine.shape == peer.shape and mine.dtype == peer.dtype
        if mine.dtype.is_complex:
            torch.testing.assert_close(mine, peer)
            continue
        if not mine.dtype.is_floating_point:
            if op.name not in ("topk", "sort", "argsort", "msort"):  # of equals, which comes first is free
                assert torch.equal(mine, peer)
            continue
        assert torch.equal(mine.isnan(), peer.isnan())
        assert torch.equal(mine.isposinf() | mine.isneginf(), peer.isposinf() | peer.isneginf())
        finite = peer.isfinite() & reference.isfinite()
        reference, mine, peer = (t[finite].double() for t in (reference, mine, peer))
        if reference.numel():
            scale = max(1.0, float(reference.abs().max()))
            limit = 4 * float((peer - reference).abs().max()) + 128 * torch.finfo(ours[0].dtype if ours[0].is_floating_point() else torch.float32).eps * scale  # fmt: skip
            assert float((mine - reference).abs().max()) <= limit


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("op", "dtype"), operators_and_dtypes())
def test_samples_of_pytorch(op: Any, dtype: torch.dtype) -> None:
    kind = str(dtype).removeprefix("torch.")
    if os.environ.get("PORTKERNEL_GOLDEN") == "write":
        _write(op, dtype, kind)
        return
    strict = name_of(op) in known().get(kind, [])
    for sample in samples(op, dtype):
        check(op, sample, strict)


def _write(op: Any, dtype: torch.dtype, kind: str) -> None:
    found = known()
    names = set(found.get(kind, [])) - {name_of(op)}
    try:
        for sample in samples(op, dtype):
            check(op, sample, True)
        names.add(name_of(op))
    except FallbackError:
        pass
    found[kind] = sorted(names)
    COVERED.write_text(json.dumps(found, indent=0) + "\n")


# --- the table ----------------------------------------------------------------------------------------------


def test_most_of_core_aten_is_covered() -> None:
    """193 overloads carry the tag; 160 and more compute nothing or have a rule."""
    core = []
    for name in torch._C._dispatch_get_all_op_names():
        if name.startswith("aten::"):
            base, _, kind = name[6:].partition(".")
            try:
                op = getattr(getattr(aten, base), kind or "default")
            except AttributeError:
                continue
            if torch.Tag.core in op.tags:
                core.append(op)
    missing = {str(op) for op in core if kind_of(op) == "compute" and op not in TABLE}
    assert len(core) >= 190 and len(missing) <= 16, sorted(missing)


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (lambda: torch.nonzero(torch.ones(3)), "the shape of the result depends on the elements"),
        (lambda: torch.fft.rfft(torch.ones(4)), "no Fourier transforms"),
        (lambda: torch.ones(2, dtype=torch.complex64) * 2, "dtype complex64"),
        (lambda: torch.ones(3)[torch.tensor([True, False, True])], "a mask as index"),
        (lambda: torch.lgamma(torch.ones(3)), "no operator"),
    ],
    ids=["nonzero", "fft", "complex", "mask", "lgamma"],
)
def test_a_refusal_names_overload_and_reason(call: Any, reason: str) -> None:
    with pk.use(backend="numpy"), dispatch(strict=True), pytest.raises(FallbackError, match=reason) as error:
        call()
    assert "aten." in str(error.value) or "prims." in str(error.value)


def test_a_fallback_is_counted_and_right() -> None:
    x = torch.tensor([0.5, 3.0])
    pk.reset_stats()
    with pk.use(backend="numpy"), dispatch():
        found = torch.lgamma(x)
    assert torch.equal(found, torch.lgamma(x))
    assert any("lgamma" in str(key) for key in pk.stats().fallbacks)
    assert pk.stats().launches == {}


def test_equal_compares_with_our_kernels() -> None:
    x = torch.arange(6.0).view(2, 3)
    pk.reset_stats()
    with pk.use(backend="numpy"), dispatch(strict=True):
        assert torch.equal(x, x.clone()) and not torch.equal(x, x + 1) and not torch.equal(x, x[:1])
        assert torch.equal(x[:0], x[:0])
    assert {"equal", "all"} <= {operator for operator, _, _ in pk.stats().operators}


def test_views_launch_nothing_and_share_memory() -> None:
    x = torch.arange(12.0).view(3, 4)
    pk.reset_stats()
    with pk.use(backend="numpy"), dispatch(strict=True):
        y = x.t()[1:, None].expand(3, 2, 3).squeeze().unflatten(0, (3, 1))
    assert pk.stats().launches == {} and y.untyped_storage().data_ptr() == x.untyped_storage().data_ptr()


def test_writing_calls_write() -> None:
    x = torch.arange(6.0)
    out = torch.full((6,), float("nan"))
    with pk.use(backend="numpy"), dispatch(strict=True):
        y = x.add_(1).mul_(2)
        torch.add(x, 1, out=out)
        x[2:4] = -1
        x[1:] += x[:-1].clone()
        part = torch.zeros(6)
        part[::2].copy_(torch.ones(3))
    assert y is x and out.tolist() == [3, 5, 7, 9, 11, 13]
    assert x.tolist() == [2, 6, 3, -2, 9, 22] and part.tolist() == [1, 0, 1, 0, 1, 0]


def test_an_operand_that_overlaps_its_result() -> None:
    x = torch.arange(6.0)
    with pk.use(backend="numpy"), dispatch(strict=True):
        torch.add(x[1:], x[:-1], out=x[1:])
    assert x.tolist() == [0, 1, 3, 5, 7, 9]


@pytest.mark.parametrize(
    "name", ["add_.Tensor", "mul_.Scalar", "relu_.default", "copy_.default", "fill_.Scalar", "add.out"]
)
def test_writing_overloads_have_functional_ones(name: str) -> None:
    base, _, kind = name.partition(".")
    op = getattr(getattr(aten, base), kind)
    assert functional_of(op) is not None


def test_result_strides_are_those_of_pytorch() -> None:
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    with pk.use(backend="numpy"), dispatch(strict=True):
        assert (x + 1).stride() == (x.detach() * 2).stride() == x.stride()
        assert (x.transpose(0, 1) * x.transpose(0, 1)).stride() == x.transpose(0, 1).stride()
        assert x.clone(memory_format=torch.contiguous_format).is_contiguous()


def test_autograd_runs_above() -> None:
    torch.manual_seed(0)
    layer = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.GELU(), torch.nn.LayerNorm(7), torch.nn.Softmax(-1))
    x = torch.randn(3, 5, requires_grad=True)
    (layer(x) ** 2).sum().backward()
    want = [x.grad, *(p.grad for p in layer.parameters())]
    x.grad = None
    layer.zero_grad()
    with pk.use(backend="numpy"), dispatch(strict=True):
        (layer(x) ** 2).sum().backward()
    for mine, other in zip([x.grad, *(p.grad for p in layer.parameters())], want, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("function", [
    torch.floor_divide, torch.fmod, lambda x, y: torch.div(x, y, rounding_mode="floor"),
    lambda x, y: torch.div(x, y, rounding_mode="trunc"),
])  # fmt: skip
def test_divisions_round_as_pytorchs(function: Any) -> None:
    """Also where the rounded quotient is an integer and the exact one is below it, and beside infinities."""
    x = torch.tensor([1.0, -1.0, 5.5, -5.5, 0.0, 6.0, 5.0, -5.0, torch.inf, 1e10])
    y = torch.tensor([0.1, 0.1, -2.0, 2.0, 0.0, 0.3, torch.inf, -torch.inf, 2.0, 3.0])
    least = torch.tensor([-128, -128, 127, 7, -7], dtype=torch.int8), torch.tensor([3, -3, -2, -3, 3], dtype=torch.int8)
    for pair in ((x, y), least):
        with pk.use(backend="numpy"), dispatch(strict=True):
            found = function(*pair)
        torch.testing.assert_close(found, function(*pair), rtol=1e-6, atol=0, equal_nan=True)


@pytest.mark.parametrize("call", [
    lambda x, i: x[torch.tensor([0]), i], lambda x, i: x.index_put((torch.tensor([0]), i), torch.ones(1), accumulate=True),
    lambda x, i: x.scatter_add(1, i[None], torch.ones(1, 1)), lambda x, i: x.scatter(1, i.expand(2, 1), 1.0),
    lambda x, i: x.gather(1, i[None]), lambda x, i: x.index_select(1, i),
], ids=["index", "index_put", "scatter_add", "scatter", "gather", "index_select"])  # fmt: skip
def test_an_index_outside_its_axis_is_an_error(call: Any) -> None:
    """Also where a place in the next row would be there."""
    with pk.use(backend="numpy"), dispatch(strict=True):
        call(torch.zeros(2, 3), torch.tensor([2]))
        with pytest.raises(pk.errors.DeviceAssertionError, match="an index outside the axis"):
            call(torch.zeros(2, 3), torch.tensor([4]))


def test_dropout_takes_its_numbers_from_pytorch() -> None:
    x = torch.ones(1000)
    with pk.use(backend="numpy"), dispatch(strict=True):
        torch.manual_seed(3)
        first = torch.nn.functional.dropout(x, 0.25)
        torch.manual_seed(3)
        second = torch.nn.functional.dropout(x, 0.25)
    assert torch.equal(first, second) and sorted(set(first.tolist())) == pytest.approx([0, 4 / 3])
    assert 600 < int((first > 0).sum()) < 900


def test_why_not_takes_fake_tensors() -> None:
    from torch._subclasses import FakeTensorMode

    with FakeTensorMode():
        x = torch.empty(2, 3)
    assert why_not(aten.relu.default, (x,), {}) == ""
    assert why_not(aten._fft_r2c.default, (x,), {}) == "no Fourier transforms"


WITHOUT_AXES = {
    "softmax": lambda x: torch.softmax(x, 0),
    "log_softmax": lambda x: torch.log_softmax(x, -1),
    "sum": lambda x: torch.sum(x, 0),
    "argmax": lambda x: torch.argmax(x, -1),
    "cumsum": lambda x: torch.cumsum(x, 0),
    "cumprod of integers": lambda x: torch.cumprod(x.to(torch.int32), 0),
    "cumsum in float64": lambda x: torch.cumsum(x, -1, dtype=torch.float64),
    "sort": lambda x: torch.sort(x)[1],
    "topk": lambda x: torch.topk(x, 1)[0],
}


@pytest.mark.parametrize("name", WITHOUT_AXES)
def test_a_tensor_without_axes(name: str) -> None:
    x = torch.tensor(3.0)
    with pk.use(backend="numpy"), dispatch():
        got = WITHOUT_AXES[name](x)
    torch.testing.assert_close(got, WITHOUT_AXES[name](x))


def test_softmax_without_axes_has_a_gradient() -> None:
    x = torch.tensor(3.0, requires_grad=True)
    with pk.use(backend="numpy"), dispatch():
        torch.log_softmax(x, 0).backward()
    assert x.grad == 0
