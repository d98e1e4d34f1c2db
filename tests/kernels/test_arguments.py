"""What host functions refuse before anything is written, and what they accept where memory is shared."""

from __future__ import annotations

import importlib
from collections.abc import Callable

import numpy as np
import pytest

from portkernel import catalog
from portkernel.errors import (
    ArgumentError,
    ArgumentShapeError,
    ArgumentTypeError,
    KernelError,
    LaunchError,
    OverlapError,
    ReadOnlyError,
    StaticAssertionError,
)  # fmt: skip

catalog.package()
(
    attention, batch_norm, conv, cumsum, elementwise, embedding, fill, functions, group_norm, layer_norm, matmul, pad,
    pooling, reduce, rms_norm, scatter, softmax, sort, trigonometry, variance,
) = (
    importlib.import_module(f"portkernel.kernels.{name}")
    for name in (
        "attention", "batch_norm", "conv", "cumsum", "elementwise", "embedding", "fill", "functions", "group_norm",
        "layer_norm", "matmul", "pad", "pooling", "reduce", "rms_norm", "scatter", "softmax", "sort", "trigonometry",
        "variance",
    )
)  # fmt: skip


def sample(*shape: int) -> np.ndarray:
    return np.random.default_rng(3).standard_normal(shape).astype(np.float32)


X = sample(4, 6)
ROWS = np.array([0, 2, 1])

NO_INTEGER: dict[str, Callable[[], object]] = {
    "axis": lambda: reduce.sum(X, 1.5),
    "axis of softmax": lambda: softmax.softmax(X, None),
    "axis of sort": lambda: sort.sort(X, (0, 1)),
    "axes": lambda: pad.transposed_copy(X, (0.0, 1.0)),
    "k": lambda: sort.topk(X, 2.0),
    "normalized_shape": lambda: layer_norm.layer_norm(X, 6.0),
    "num_groups": lambda: group_norm.group_norm(X, 2.0),
    "pad_width": lambda: pad.pad(X, 1.5),
    "rows": lambda: embedding.embedding_gradient(X[:3], ROWS, 4.0),
}


@pytest.mark.parametrize("name", NO_INTEGER)
def test_what_is_no_integer(name: str) -> None:
    with pytest.raises(ArgumentTypeError, match=rf"\(\): {name.split()[0]}: expected (an integer|integers), got"):
        NO_INTEGER[name]()


def test_numpy_integers_are_integers() -> None:
    got = reduce.sum(X, np.int64(1), backend="numpy")
    assert np.allclose(got, X.sum(1), rtol=1e-5, atol=1e-5)
    assert layer_norm.layer_norm(X, np.int64(6), backend="numpy").shape == X.shape


@pytest.mark.parametrize("order", ["fro", float("nan"), -2])
def test_orders_of_norms(order: object) -> None:
    with pytest.raises(ArgumentTypeError, match=r"norm\(\): ord"):
        reduce.norm(X, order)


def test_an_empty_axis_takes_no_additions() -> None:
    with pytest.raises(ArgumentShapeError, match=r"scatter_add\(\): x: expected elements along axis 0 for 3 indices"):
        scatter.scatter_add(X[:0], 0, ROWS, X[:3], backend="numpy")
    none = np.zeros(0, np.int64)
    assert scatter.scatter_add(X[:0], 0, none, X[:0], backend="numpy").shape == (0, 6)
    with pytest.raises(ArgumentShapeError, match=r"embedding_gradient\(\): rows: expected at least 0, got -1"):
        embedding.embedding_gradient(X[:3], ROWS, -1)


def test_one_array_as_both_operands_and_out() -> None:
    x = X.copy()
    assert functions.add(x, x, out=x, backend="numpy") is x
    assert np.array_equal(x, X + X)


@pytest.mark.parametrize("first", [(0, 2), (2, 0)])
def test_concatenation_over_its_own_inputs(first: tuple[int, int]) -> None:
    x = X.copy()
    parts = [x[i : i + 2] for i in first]
    want = np.concatenate(parts)
    for out in (x, x[::-1]):
        x[:] = X
        assert pad.concatenate(parts, out=out, backend="numpy") is out
        assert np.array_equal(out, want)


def test_a_refused_batch_norm_moves_no_statistics() -> None:
    x, mean, spread = X.copy(), np.zeros(6, np.float32), np.ones(6, np.float32)
    with pytest.raises(OverlapError):
        batch_norm.batch_norm(x, mean, spread, training=True, out=x[::-1], backend="numpy")
    with pytest.raises(ArgumentTypeError, match=r"batch_norm\(\): momentum: expected a number, got None"):
        batch_norm.batch_norm(x, mean, spread, training=True, momentum=None, out=x, backend="numpy")
    assert np.array_equal(mean, np.zeros(6)) and np.array_equal(spread, np.ones(6))
    assert np.array_equal(x, X)


def test_tensors_whose_memory_says_something_else() -> None:
    torch = pytest.importorskip("torch")
    t = torch.tensor(X)
    negative = torch.complex(t, t).conj().imag
    for _ in range(2):
        with pytest.raises(ArgumentTypeError, match="negative bit"):
            functions.exp(negative, backend="numpy")
    assert np.array_equal(functions.negative(negative.resolve_neg(), backend="numpy"), X)
    with pytest.raises(ArgumentTypeError, match=r"sum\(\): x: expected a dense tensor"):
        reduce.sum(t.to_sparse(), backend="numpy")


IMAGE, WEIGHT = sample(2, 4, 9, 7), sample(6, 2, 3, 2)
NO_NUMBER: dict[str, Callable[[], object]] = {
    "stride": lambda: conv.conv2d(IMAGE, WEIGHT, stride=1.5, groups=2),
    "stride of None": lambda: conv.conv2d(IMAGE, WEIGHT, stride=None, groups=2),
    "padding": lambda: conv.conv2d(IMAGE, WEIGHT, padding=1.5, groups=2),
    "padding in pairs": lambda: conv.conv2d(IMAGE, WEIGHT, padding=((0, 1), (1.5, 0)), groups=2),
    "groups": lambda: conv.conv2d(IMAGE, WEIGHT, groups=2.0),
    "input_size": lambda: conv.conv2d_input(5.0, WEIGHT, IMAGE, groups=2),
    "weight_size": lambda: conv.conv2d_weight(IMAGE, (6, 2.0, 3, 2), IMAGE, groups=2),
    "kernel_size": lambda: pooling.max_pool(IMAGE, 2.0),
    "output_size": lambda: pooling.adaptive_avg_pool(IMAGE, 2.5),
    "splits": lambda: matmul.matmul(X, X.T, splits=1.5),
    "alpha": lambda: matmul.matmul(X, X.T, alpha="1"),
    "scale": lambda: attention.scaled_dot_product_attention(X, X, X, scale="1"),
}


@pytest.mark.parametrize("name", NO_NUMBER)
def test_what_is_no_number(name: str) -> None:
    with pytest.raises((ArgumentError, ArgumentTypeError), match=rf"\(\): {name.split()[0]}: expected .*, got"):
        NO_NUMBER[name]()


def test_numpy_integers_as_geometry() -> None:
    want = conv.conv2d(IMAGE, WEIGHT, stride=2, padding=(1, 1), groups=2, backend="numpy")
    got = conv.conv2d(IMAGE, WEIGHT, stride=np.int64(2), padding=np.array([1, 1]), groups=np.int64(2), backend="numpy")
    assert np.array_equal(got, want)
    pairs = conv.conv2d(IMAGE, WEIGHT, stride=2, padding=np.array([[1, 1], [1, 1]]), groups=2, backend="numpy")
    assert np.array_equal(pairs, want)
    size = np.int64(2)
    assert pooling.adaptive_avg_pool(IMAGE, size, backend="numpy").shape == (2, 4, 2, 2)


@pytest.mark.parametrize("value", [300, -200, float("nan"), float("inf"), "1", 2**70])
def test_numbers_that_do_not_fit(value: object) -> None:
    x = np.array([1, 2], np.int8)
    with pytest.raises(ArgumentTypeError, match=r"max\(\): initial: expected"):
        reduce.max(x, initial=value, backend="numpy")
    with pytest.raises(ArgumentTypeError, match=r"pad\(\): constant_values: expected"):
        pad.pad(x, 1, constant_values=value, backend="numpy")


def test_numbers_at_the_ends_of_a_type() -> None:
    x = np.array([1, 2], np.int8)
    assert reduce.max(x[:0], initial=-128, backend="numpy") == -128
    assert list(pad.pad(x, 1, constant_values=127, backend="numpy")) == [127, 1, 2, 127]
    assert reduce.min(x.astype(np.float32), initial=-np.inf, backend="numpy") == -np.inf
    assert reduce.sum(x, initial=np.int64(2**53 + 1), backend="numpy") == 2**53 + 4
    assert reduce.max(x > 1, initial=False, backend="numpy")


FOREIGN = X.astype(X.dtype.newbyteorder())
FROZEN = np.broadcast_to(np.float32(0), X.shape)
NAMED: dict[str, Callable[[], object]] = {
    "exp(): x: expected an array or a scalar, got list": lambda: functions.exp([1.0]),
    "exp(): x: expected at least one array, got scalars": lambda: functions.exp(1.0),
    "add(): y: expected an array or a scalar, got list": lambda: functions.add(X, [1.0]),
    "add(): x, y: expected shapes that broadcast": lambda: functions.add(X, X[:, :0]),
    "add(): arrays: expected dtypes that combine": lambda: functions.add(X.astype(np.uint64), X.astype(np.int64)),
    "where(): condition: expected an array": lambda: functions.where([True], X, X),
    "arcsin(): x: expected an array": lambda: trigonometry.arcsin([1.0]),
    "leaky_relu(): x: expected an array": lambda: functions.leaky_relu([1.0]),
    "elu(): x: expected an array": lambda: functions.elu([1.0]),
    "softplus(): x: expected an array": lambda: functions.softplus([1.0]),
    "hardtanh(): x: expected an array": lambda: functions.hardtanh([1.0]),
    "clip(): min: expected an array or a scalar, got str": lambda: functions.clip(X, "a"),
    "clamp(): max: expected an array or a scalar, got list": lambda: functions.clamp(X, 0, [1.0]),
    "elementwise(): argument 1: expected an array": lambda: elementwise.elementwise(lambda x, y: x, X, [1.0]),
    "astype(): dtype: expected a dtype, got None": lambda: functions.astype(X, None),
    "sum(): dtype: expected a dtype, got 'real'": lambda: reduce.sum(X, dtype="real"),
    "prod(): dtype: expected a dtype, got 'real'": lambda: reduce.prod(X, dtype="real"),
    "mean(): dtype: expected a dtype, got 'real'": lambda: reduce.mean(X, dtype="real"),
    "var(): dtype: expected a dtype, got 'real'": lambda: variance.var(X, dtype="real"),
    "cumsum(): dtype: expected a dtype, got 'real'": lambda: cumsum.cumsum(X, 0, dtype="real"),
    "full(): dtype: expected a dtype, got 'real'": lambda: fill.full(2, 1, "real"),
    "matmul(): dtype: expected a dtype, got 'real'": lambda: matmul.matmul(X, X.T, dtype="real"),
    "matmul(): activation: expected a name or a function, got 3": lambda: matmul.matmul(X, X.T, activation=3),
    "sum(): x: expected native byte order": lambda: reduce.sum(FOREIGN),
    "softmax(): x: expected native byte order": lambda: softmax.softmax(FOREIGN),
    "softmax(): out: expected native byte order": lambda: softmax.softmax(X, out=FOREIGN),
    "softmax(): out: expected a writable array": lambda: softmax.softmax(X, out=FROZEN),
    "exp(): out: expected a writable array": lambda: functions.exp(X, out=FROZEN),
    "transposed_copy(): x: expected native byte order": lambda: pad.transposed_copy(FOREIGN),
    "add(): y: expected an integer that fits int8, got 300": lambda: functions.add(X.astype(np.int8), 300),
    "clip(): min: expected an integer that fits uint8, got -1": lambda: functions.clip(X.astype(np.uint8), -1, 3),
    "var(): ddof: expected a number, got 'a'": lambda: variance.var(X, ddof="a"),
    "layer_norm(): eps: expected a number, got None": lambda: layer_norm.layer_norm(X, 6, eps=None),
    "layer_norm_gradient(): eps: expected a number": lambda: layer_norm.layer_norm_gradient(X, X, 6, eps="a"),
    "rms_norm(): eps: expected a number": lambda: rms_norm.rms_norm(X, 6, eps="a"),
    "group_norm(): eps: expected a number": lambda: group_norm.group_norm(X, 2, eps="a"),
    "conv2d(): groups: expected an integer of at least 1, got 0": lambda: conv.conv2d(IMAGE, WEIGHT, groups=0),
    "conv_transpose2d(): groups: expected": lambda: conv.conv_transpose2d(IMAGE, WEIGHT, groups=-1),
    "conv2d_input(): groups: expected": lambda: conv.conv2d_input(IMAGE.shape, WEIGHT, IMAGE, groups=0),
    "conv2d_weight(): groups: expected": lambda: conv.conv2d_weight(IMAGE, WEIGHT.shape, IMAGE, groups=0),
    "conv2d(): stride: expected at most 2147483647": lambda: conv.conv2d(IMAGE, WEIGHT, stride=2**40, groups=2),
    "conv2d(): dilation: expected at most 2147483647": lambda: conv.conv2d(
        IMAGE, WEIGHT[..., :1, :1], dilation=2**40, groups=2
    ),
    "concatenate(): arrays: expected a sequence": lambda: pad.concatenate(None),
    "concatenate(): arrays[1]: expected an array": lambda: pad.concatenate([X, [1.0]]),
    "concatenate(): arrays: ": lambda: pad.concatenate([X.astype(np.uint64), X.astype(np.int64)]),
    "elementwise(): arrays: expected at least one array": lambda: elementwise.elementwise(lambda: 1),
}


@pytest.mark.parametrize("message", NAMED)
def test_a_mistake_names_the_function_that_was_called(message: str) -> None:
    with pytest.raises(LaunchError) as caught:
        NAMED[message]()
    assert str(caught.value).startswith(message)


def test_the_hint_for_elements_between_places_helps() -> None:
    x = np.zeros(13, np.uint8)[1:].view(np.float32)
    with pytest.raises(ArgumentShapeError, match=r"hint: copy it first: x\.copy\(\)"):
        reduce.sum(x)
    assert reduce.sum(x.copy(), backend="numpy") == 0


def test_statistics_that_may_not_be_written() -> None:
    mean, frozen, out = np.zeros(6, np.float32), np.broadcast_to(np.float32(1), (6,)), X.copy()
    with pytest.raises(ReadOnlyError, match=r"batch_norm\(\): running_var: expected a writable array"):
        batch_norm.batch_norm(X, mean, frozen, training=True, out=out, backend="numpy")
    assert not mean.any() and np.array_equal(out, X)
    assert np.isfinite(batch_norm.batch_norm(X, mean, frozen, out=out, backend="numpy")).all()


@pytest.mark.parametrize("fn", [np.exp, lambda x: 2 * np.exp(x), lambda x: x.nothing])
def test_a_function_that_is_none_of_tiles(fn: Callable[..., object]) -> None:
    with pytest.raises(KernelError):
        elementwise.elementwise(fn, X, backend="numpy")


def test_an_activation_that_gives_nothing() -> None:
    with pytest.raises(StaticAssertionError, match="activation: expected a function that gives a tile"):
        matmul.matmul(X, X.T, activation=lambda x: None, backend="numpy")
