"""``torch.ops.portkernel`` in programs: values, second derivatives, autocast, torch.compile, routes."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

import pytest

import portkernel as pk
from portkernel.errors import ArgumentError, ArgumentTypeError, FallbackError, GradientError, NoDeviceError
from portkernel.ops.gradients import differentiated
from portkernel.runtime import driver as drivers

torch = pytest.importorskip("torch")
from torch.nn import functional as F  # noqa: E402

from portkernel.integrations.torch.library import CUSTOM  # noqa: E402

ops: Any = torch.ops.portkernel
EPS = 2.0**-23


@pytest.fixture
def on_the_reference() -> Iterator[None]:
    with pk.use(backend="numpy"):
        yield


def draw(*shape: int) -> Any:
    return torch.randn(*shape) * 3


VALUES: dict[str, tuple[Callable[..., Any], Callable[..., Any], tuple[Any, ...], int]] = {
    "matmul": (ops.matmul, torch.matmul, (draw(65, 130), draw(130, 67)), 130),
    "linear": (ops.linear, F.linear, (draw(3, 33, 70), draw(65, 70), draw(65)), 70),
    "conv1d": (ops.conv1d, F.conv1d, (draw(2, 6, 37), draw(9, 2, 5), draw(9), 2, 2, 1, 3), 10),
    "conv2d": (ops.conv2d, F.conv2d, (draw(2, 5, 17, 19), draw(33, 5, 3, 3), draw(33), 1, 1), 45),
    "conv2d, same": (ops.conv2d, F.conv2d, (draw(2, 5, 17, 19), draw(7, 5, 4, 3), draw(7), 1, "same", (1, 3)), 60),
    "conv_transpose2d": (ops.conv_transpose2d, F.conv_transpose2d, (draw(1, 5, 7, 5), draw(5, 6, 3, 3), draw(6), 2, 1), 45),
    "attention": (ops.scaled_dot_product_attention, F.scaled_dot_product_attention,
                  (draw(1, 2, 65, 32) / 3, draw(1, 2, 67, 32) / 3, draw(1, 2, 67, 33)), 100),
    "attention with a bias": (ops.scaled_dot_product_attention, F.scaled_dot_product_attention,
                  (draw(2, 2, 33, 32) / 3, draw(2, 2, 35, 32) / 3, draw(2, 2, 35, 33), draw(2, 1, 33, 35)), 100),
    "softmax": (ops.softmax, torch.softmax, (draw(33, 129) + 50, -1), 129),
    "layer_norm": (ops.layer_norm, F.layer_norm, (draw(33, 129) + 20, [129], draw(129), draw(129)), 129),
    "rms_norm": (ops.rms_norm, F.rms_norm, (draw(33, 129), [129], draw(129), 1e-5), 129),
    "group_norm": (ops.group_norm, F.group_norm, (draw(2, 6, 37), 3, draw(6), draw(6)), 74),
    "sum": (ops.sum, torch.sum, (draw(65, 257), [0]), 65),
    "var": (lambda x: ops.var(x, [1], 1.0), lambda x: x.var(1), (draw(33, 129) + 50,), 129),
    "logsumexp": (ops.logsumexp, torch.logsumexp, (draw(33, 129) + 50, [1]), 129),
    "cumsum": (ops.cumsum, torch.cumsum, (draw(5, 300), 1), 300),
    "avg_pool2d": (ops.avg_pool2d, F.avg_pool2d, (draw(1, 3, 9, 11), 3, 2, 1), 9),
    "gelu": (ops.gelu, F.gelu, (draw(1000),), 4),
    "tanh": (ops.tanh, torch.tanh, (draw(1000),), 4),
}  # fmt: skip


def to(args: Any, dtype: Any) -> list[Any]:
    return [a.to(dtype) if isinstance(a, torch.Tensor) and a.is_floating_point() else a for a in args]


COMPILED = frozenset(["matmul", "linear", "conv2d", "attention", "softmax", "layer_norm", "sum", "gelu"])
"""Those that are tried where the tensors lie, compiled; the others on the reference."""


@pytest.mark.filterwarnings("ignore:Using padding='same'")  # PyTorch says that it copies
@pytest.mark.parametrize("name", VALUES)
def test_values_and_gradients_are_as_exact_as_pytorchs(name: str) -> None:
    """Error against float64 at most four times PyTorch's own, or 8·eps·K times the scale of the result."""
    ours, peer, args, k = VALUES[name]

    def run(function: Callable[..., Any], dtype: Any) -> list[Any]:
        given = [a.requires_grad_() if isinstance(a, torch.Tensor) else a for a in to(args, dtype)]
        given = [a.detach().requires_grad_() if isinstance(a, torch.Tensor) else a for a in given]
        y = function(*given)
        weights = torch.linspace(-1, 1, y.numel(), dtype=dtype).view(y.shape)
        leaves = [a for a in given if isinstance(a, torch.Tensor)]
        return [y.detach(), *torch.autograd.grad((y * weights).sum(), leaves)]

    exact, theirs = run(peer, torch.float64), run(peer, torch.float32)
    with pk.use(backend=None if name in COMPILED else "numpy"):
        got = run(ours, torch.float32)
    for want, other, mine in zip(exact, theirs, got, strict=True):
        error, peers = ((t.double() - want).abs().max().item() for t in (mine, other))
        assert mine.dtype == torch.float32 and math.isfinite(error)
        assert error <= max(4 * peers, 8 * EPS * k * want.abs().max().item())


def test_indices_and_running_statistics_are_pytorchs(on_the_reference: None) -> None:
    x = draw(2, 3, 9, 11)
    for mine, want in zip(
        ops.max_pool2d_with_indices(x, 3, 2, 1), F.max_pool2d(x, 3, 2, 1, return_indices=True), strict=True
    ):
        assert torch.equal(mine, want)
    for mine, want in zip(ops.topk(x, 3, 2), torch.topk(x, 3, 2), strict=True):
        assert torch.equal(mine, want)
    got, want = ([torch.zeros(3), torch.ones(3)] for _ in range(2))
    y = ops.batch_norm(x, *got, None, None, True, 0.3)
    torch.testing.assert_close(y, F.batch_norm(x, *want, None, None, True, 0.3))
    torch.testing.assert_close(got, want)
    torch.testing.assert_close(ops.batch_norm(x, *got), F.batch_norm(x, *want))


def test_results_lie_as_pytorchs_do(on_the_reference: None) -> None:
    x = draw(2, 3, 4, 5).to(memory_format=torch.channels_last)
    assert ops.gelu(x).is_contiguous(memory_format=torch.channels_last)
    assert ops.add(x, x).stride() == x.stride()


def test_integers_are_promoted_as_pytorchs_are(on_the_reference: None) -> None:
    x = torch.arange(4)
    assert ops.sum(x).dtype == torch.int64 and ops.exp(x).dtype == torch.float32
    assert torch.equal(ops.add(x, torch.tensor(0.5)), x + 0.5) and ops.divide(x, x + 1).dtype == torch.float32


# --- gradients ----------------------------------------------------------------------------------------------


def test_a_second_derivative_that_is_not_there_is_refused(on_the_reference: None) -> None:
    x = torch.randn(1, 1, 2, 4, requires_grad=True)
    (first,) = torch.autograd.grad((ops.scaled_dot_product_attention(x, x, x) ** 2).sum(), x, create_graph=True)
    with pytest.raises(GradientError, match=r"_backward\(\): expected no gradient .* second derivative") as raised:
        first.sum().backward()
    assert "matmul and softmax" in raised.value.hint


def test_the_gradient_of_a_mask_alone_launches_no_other(on_the_reference: None) -> None:
    x, mask = torch.randn(2, 4), torch.zeros(2, 2, requires_grad=True)
    pk.reset_stats()
    y = ops.scaled_dot_product_attention(x, x, x, mask)
    (first,) = torch.autograd.grad((y**2).sum(), mask, create_graph=True)
    assert first.shape == mask.shape
    assert {op for op, _, _ in pk.stats().operators} == {
        "scaled_dot_product_attention", "scaled_dot_product_attention_mask_gradient",
    }  # fmt: skip
    with pytest.raises(GradientError, match=r"mask_gradient\(\): expected no gradient .* second derivative"):
        first.sum().backward()


def test_what_has_no_gradient_says_so() -> None:
    x = torch.rand(2, 4, requires_grad=True)
    with pk.use(backend="numpy"):
        with pytest.raises(GradientError, match=r"pad\(\): mode"):
            ops.pad(x, [1, 1, 1, 1], "edge").sum().backward()
        with pytest.raises(ArgumentError, match="dropout_p: expected 0"):
            ops.scaled_dot_product_attention(x, x, x, None, 0.5)
        assert not ops.greater(x, x).requires_grad and not ops.argmax(x).requires_grad


@pytest.mark.parametrize(("padding", "stride", "message"), [
    ("full", 1, "expected 'same', 'valid' or numbers, got 'full'"),
    ("same", 2, "expected numbers with a stride above 1, got 'same'"),
])  # fmt: skip
def test_a_padding_that_has_no_meaning(padding: str, stride: int, message: str) -> None:
    x, w = torch.rand(1, 2, 5, 5), torch.rand(3, 2, 3, 3)
    with pk.use(backend="numpy"), pytest.raises(ArgumentError, match=rf"conv2d\(\): padding: {message}"):
        ops.conv2d(x, w, stride=stride, padding=padding)
    assert torch.equal(ops.conv2d(x, w, padding="valid"), ops.conv2d(x, w))


@pytest.mark.parametrize(("call", "message"), [
    (lambda x: ops.exp(x.to(torch.complex64)), r"exp\(\): expected real numbers of at most 64 bits, got complex64"),
    (lambda x: ops.astype(x, torch.complex64), r"astype\(\): expected real numbers .* got complex64"),
    (lambda x: ops.stack([x, x[:1]]), r"stack\(\): arrays\[1\]: expected shape \(2, 3\) .* got \(1, 3\)"),
    (lambda x: ops.stack([]), r"stack\(\): arrays: expected at least one array"),
    (lambda x: ops.split(x, 2, 1), r"split\(\): .* expected a number that divides 3 elements along axis 1, got 2"),
    (lambda x: ops.take(x, torch.tensor([0]), 5), r"axis: expected -2 to 1, got 5"),
    (lambda x: ops.take(x, torch.tensor([7]), 1), r"an index outside the axis"),
])  # fmt: skip
def test_arguments_that_make_no_sense(on_the_reference: None, call: Callable[[Any], Any], message: str) -> None:
    with pytest.raises(pk.PortkernelError, match=message):
        call(torch.rand(2, 3))


def test_the_plain_operator_names_what_is_differentiated() -> None:
    x = torch.ones(2, 4, requires_grad=True)
    for call, name in (
        (lambda: pk.ops.softmax(x), "torch.ops.portkernel.softmax,"),
        (lambda: pk.ops.max_pool(x, 2), "torch.ops.portkernel.max_pool2d or"),
        (lambda: pk.ops.transpose(x), "torch.permute,"),
        (lambda: pk.ops.det(x), "it has no gradient: pass x.detach()"),
        (lambda: pk.ops.elementwise(lambda t: t + 1, x), "it has no gradient: pass x.detach()"),
    ):
        with pytest.raises(ArgumentTypeError, match="requires it") as raised:
            call()
        assert name in raised.value.hint


def test_what_is_named_is_there() -> None:
    """Each operator of the package as something that PyTorch differentiates, or as nothing."""
    for name in pk.ops.operators():
        for words in filter(None, differentiated(name).split(" or ")):
            found: Any = torch
            for part in words.split(".")[1:]:
                found = getattr(found, part)
            assert callable(found)
        assert differentiated(name) != "" or name not in CUSTOM


# --- autocast -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_autocast(dtype: Any) -> None:
    x, low = torch.randn(4, 4), torch.randn(4, 4).to(dtype)
    image, weight = torch.randn(1, 2, 4, 4), torch.randn(2, 2, 3, 3, requires_grad=True)
    with torch.autocast("cpu", dtype=dtype), pk.use(backend="numpy"):
        for found in (ops.matmul(x, x), ops.linear(x, x, x[0]), ops.scaled_dot_product_attention(x, x, x)):
            assert found.dtype == dtype
        y = ops.conv2d(image, weight)
        assert ops.conv2d(image, weight, padding="same").dtype == dtype
        for found in (ops.softmax(low), ops.layer_norm(low, [4]), ops.sum(low), ops.exp(low), ops.logsumexp(low, [1])):
            assert found.dtype == torch.float32
        assert ops.relu(low).dtype == dtype and ops.add(low, x).dtype == torch.float32
        assert ops.concatenate([low, x]).dtype == torch.float32 and ops.concatenate([low, low]).dtype == dtype
        assert ops.matmul(x.double(), x.double()).dtype == torch.float64
    y.sum().backward()
    assert y.dtype == dtype and weight.grad.dtype == torch.float32
    assert ops.matmul(x, x).dtype == torch.float32


# --- torch.compile, routes ----------------------------------------------------------------------------------


def network(x: Any, w: Any, gain: Any) -> Any:
    h = ops.gelu(ops.linear(x, w))
    h = ops.layer_norm(h, [8], gain, gain)
    return ops.sum(ops.softmax(ops.scaled_dot_product_attention(h, h, h), 0), [1])


def test_compiled_without_a_break() -> None:
    torch.manual_seed(0)

    def run(function: Callable[..., Any]) -> list[Any]:
        given = [t.detach().requires_grad_() for t in arguments]
        y = function(*given)
        return [y, *torch.autograd.grad(y[0], given)]

    arguments = torch.randn(5, 6), torch.randn(8, 6), torch.rand(8)
    torch._dynamo.reset()
    compiled = torch.compile(network, backend="aot_eager", fullgraph=True, dynamic=True)
    with pk.use(backend="numpy"):
        for mine, want in zip(run(compiled), run(network), strict=True):
            torch.testing.assert_close(mine, want)


def test_our_kernels_run() -> None:
    x, w = torch.randn(5, 6, requires_grad=True), torch.randn(8, 6)
    pk.reset_stats()
    with pk.use(backend="numpy", strict=True):
        network(x, w, torch.ones(8))[0].backward()
    stats = pk.stats()
    assert {op for op, _, _ in stats.operators} >= {
        "linear", "layer_norm", "scaled_dot_product_attention", "softmax", "sum", "matmul", "softmax_gradient",
        "layer_norm_gradient", "scaled_dot_product_attention_backward",
    }  # fmt: skip
    assert {backend for _, _, backend in stats.operators} == {"numpy"} and not stats.fallbacks


def test_strict_refuses_a_fallback(monkeypatch: pytest.MonkeyPatch) -> None:
    real = drivers.find

    def find(name: str) -> drivers.Driver:
        if name == "opencl":
            raise NoDeviceError("no OpenCL platform")
        return real(name)

    monkeypatch.setattr(drivers, "find", find)
    with pk.use(strict=True), pytest.raises(FallbackError, match=r"log2\(\): .*no OpenCL platform"):
        ops.log2(torch.rand(7, 3))
