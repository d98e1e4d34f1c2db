"""Arguments under the names that NumPy and PyTorch have for them, and what NumPy's functions take besides."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

import portkernel as pk
from portkernel.errors import ArgumentDTypeError, ArgumentError, ArgumentShapeError, ArgumentTypeError, NoDeviceError

X = np.random.default_rng(0).standard_normal((5, 7)).astype(np.float32)
PLACES = np.array([[0, 2], [1, 1]])


@pytest.fixture(autouse=True)
def reference() -> Any:
    with pk.use(backend="numpy"):
        yield


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (lambda: pk.ops.softmax(X, dim=0), lambda: pk.ops.softmax(X, 0)),
        (lambda: pk.ops.softmax(input=X, dim=0), lambda: pk.ops.softmax(X, 0)),
        (lambda: pk.ops.sum(X, dim=1, keepdim=True), lambda: pk.ops.sum(X, axis=1, keepdims=True)),
        (lambda: pk.ops.sum(a=X, axis=1, keepdims=True), lambda: pk.ops.sum(X, axis=1, keepdims=True)),
        (lambda: pk.ops.var(X, correction=1), lambda: pk.ops.var(X, ddof=1)),
        (lambda: pk.ops.topk(X, 2, dim=0)[1], lambda: pk.ops.topk(X, 2, axis=0)[1]),
        (lambda: pk.ops.sort(X, dim=0, descending=True)[0], lambda: pk.ops.sort(X, 0, True)[0]),
        (lambda: pk.ops.index_select(X, axis=1, index=PLACES[0]), lambda: pk.ops.index_select(X, 1, PLACES[0])),
        (lambda: pk.ops.embedding(input=PLACES, weight=X), lambda: pk.ops.embedding(PLACES, X)),
        (lambda: pk.ops.add(input=X, other=X), lambda: pk.ops.add(X, X)),
        (lambda: pk.ops.add(X, other=X), lambda: pk.ops.add(X, X)),
        (lambda: pk.ops.relu(input=X), lambda: pk.ops.relu(X)),
        (lambda: pk.ops.pad(array=X, pad_width=1), lambda: pk.ops.pad(X, 1)),
        (lambda: pk.ops.tril(m=X, k=1), lambda: pk.ops.tril(X, 1)),
        (lambda: pk.ops.split(ary=X, indices_or_sections=5)[1], lambda: pk.ops.split(X, 5)[1]),
        (lambda: pk.ops.concatenate(tensors=[X, X], dim=1), lambda: pk.ops.concatenate([X, X], 1)),
    ],
)
def test_words_of_other_libraries(theirs: Any, ours: Any) -> None:
    for _ in range(3):  # the last without the host function
        assert np.array_equal(theirs(), ours())


def test_a_word_is_not_taken_twice_or_for_an_argument_given() -> None:
    for call in (
        lambda: pk.ops.softmax(X, 0, dim=1), lambda: pk.ops.softmax(X, axis=0, dim=1), lambda: pk.ops.softmax(X, input=X),
        lambda: pk.ops.add(X, X, other=X), lambda: pk.ops.exp(X, dim=0),
    ):  # fmt: skip
        with pytest.raises(ArgumentError, match=r"^(softmax|add|exp)\(\): "):
            call()


def test_the_names_given_by_position() -> None:
    assert pk.ops.softmax.parameters == ("x", "axis")
    assert pk.ops.add.parameters == ("x", "y")
    assert pk.ops.find("sum").parameters == ("x", "axis", "dtype", "out", "keepdims", "initial", "where")


@pytest.mark.parametrize(("low", "high"), [(-0.5, 0.5), (None, 0.5), (-0.5, None), (X - 1, X[0] + 1)])
def test_clip_as_numpy_spells_it(low: Any, high: Any) -> None:
    want = np.clip(X, low, high)
    assert np.array_equal(pk.ops.clip(X, low, high), want)
    assert np.array_equal(pk.ops.clip(X, a_min=low, a_max=high), want)
    assert np.array_equal(pk.ops.clip(X, min=low, max=high), want)
    out = np.full_like(X, np.nan)
    assert pk.ops.clip(X, low, high, out) is out
    assert np.array_equal(out, want)


def test_clip_refuses_no_limit_and_two() -> None:
    with pytest.raises(ArgumentError, match=r"^clip\(\): min: expected a limit"):
        pk.ops.clip(X)
    with pytest.raises(ArgumentError, match=r"^clip\(\): max: expected nothing beside a_max"):
        pk.ops.clip(X, 0, 1, max=2)


@pytest.mark.parametrize(("beta", "threshold"), [(1, 20), (2.0, 20), (-0.5, 20), (3, 1.5)])
def test_softplus_with_its_options(beta: float, threshold: float) -> None:
    x = np.concatenate([X.ravel() * 20, [np.nan, np.inf, -np.inf]]).astype(np.float32)
    y = x.astype(np.float64) * beta
    want = np.where(y > threshold, x, (np.maximum(y, 0) + np.log1p(np.exp(-np.abs(y)))) / beta)
    got = pk.ops.softplus(x, beta, threshold)
    finite = np.isfinite(want)
    bound = (12 + np.minimum(np.abs(y[finite]), 200)) * 2.0**-23 * np.abs(want[finite]) + 1e-37
    assert (np.abs(got[finite] - want[finite]) <= bound).all()
    assert np.array_equal(got[~finite], want[~finite], equal_nan=True)
    with pytest.raises(ArgumentError, match=r"^softplus\(\): beta"):
        pk.ops.softplus(x, 0)


def test_zeros_and_ones_without_a_dtype_are_float64() -> None:
    for made in (pk.ops.zeros(3, None), pk.ops.ones(3, None), pk.ops.zeros(3)):
        assert made.dtype == np.float64


def test_bools_multiply_to_bool() -> None:
    a = np.random.default_rng(0).random((300, 300)) < 0.5
    got = pk.ops.matmul(a, a)
    assert got.dtype == np.bool_
    assert np.array_equal(got, a @ a)


def test_errors_from_below_are_named_by_the_operator() -> None:
    for value in (300, -1.0e9, 2**40):
        x = np.arange(3, dtype=np.int8)
        if isinstance(value, int):
            with pytest.raises(ArgumentDTypeError, match=r"^add\(\): .*fits int8"):
                pk.ops.add(x, value)
        else:
            assert pk.ops.add(x, value).dtype == np.float32
    with pytest.raises(ArgumentDTypeError, match=r"^astype\(\): .*complex64"):
        pk.ops.astype(X, "complex64")
    with pytest.raises(ArgumentShapeError, match=r"^sum\(\): axis: expected none of an array without dimensions"):
        pk.ops.sum(np.asarray(1.0, np.float32), axis=0)


@pytest.mark.parametrize("value", [None, "no", np.array([1, 2]), torch.ones(2)], ids=["None", "str", "array", "tensor"])
def test_switches_and_names_are_what_they_should_be(value: Any) -> None:
    with pytest.raises(ArgumentTypeError, match=r"^sum\(\): keepdims: expected True or False"):
        pk.ops.sum(X, keepdims=value)
    q = X[None]
    with pytest.raises(
        ArgumentTypeError, match=r"^scaled_dot_product_attention\(\): enable_gqa: expected True or False"
    ):
        pk.ops.scaled_dot_product_attention(q, q, q, enable_gqa=value)
    if not isinstance(value, str):
        with pytest.raises(ArgumentTypeError, match=r"^linear\(\): activation: expected a name or a function"):
            pk.ops.linear(X, X, activation=value)
        with pytest.raises(ArgumentTypeError, match=r"^matmul\(\): precision: expected a name"):
            pk.ops.matmul(X, X.T, precision=value)
    if not isinstance(value, type(None)):
        with pytest.raises(ArgumentDTypeError, match=r"^matmul\(\): dtype: expected a dtype"):
            pk.ops.matmul(X, X.T, dtype=value)


@pytest.mark.parametrize("name", ["concatenate", "stack", "cat"])
def test_lists_of_arrays_are_lists(name: str) -> None:
    with pytest.raises(
        ArgumentTypeError, match=rf"^{name}\(\): (arrays|tensors): expected a sequence of arrays, got None"
    ):
        pk.ops.find(name)(None)


def test_numbers_that_are_arrays_are_refused() -> None:
    with pytest.raises(ArgumentTypeError, match=r"^transpose\(\): axes: expected"):
        pk.ops.transpose(X, 3)
    q = X[None]
    with pytest.raises(ArgumentTypeError, match=r"^scaled_dot_product_attention\(\): dropout_p: expected a number"):
        pk.ops.scaled_dot_product_attention(q, q, q, dropout_p=X)


def test_an_unknown_device_is_named_by_the_operator() -> None:
    pytest.importorskip("pyopencl")
    with pytest.raises(NoDeviceError, match=r"^exp\(\): opencl: device: expected a known device, got 'nope'"):
        pk.ops.exp(X, backend="opencl", device="nope")
