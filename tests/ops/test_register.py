"""A user's own kernel as an operator."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import portkernel as pk
from portkernel.errors import ArgumentDTypeError, ArgumentError, ArgumentTypeError, OverlapError
from portkernel.ops import registry
from portkernel.ops.samples import makers, samples

arrays = pk.catalog.package() and __import__("portkernel.kernels.arrays", fromlist=["arrays"])


@pk.kernel
def scaled_add(x, y, out, a, B: pk.constexpr[int] = pk.auto(64, 4096)):
    i = pk.program_id(0)
    pk.store(out, (i,), pk.load(x, (i,), (B,)) * a + pk.load(y, (i,), (B,)))


def axpy(x: Any, y: Any, a: float = 1.0, *, out: Any = None) -> Any:
    """``a·x + y`` of two vectors."""
    out = arrays.result("axpy()", out, x, tuple(x.shape), (pk.dtypes.as_dtype(x.dtype),))
    scaled_add[lambda meta: (pk.cdiv(x.shape[0], meta["B"]),)](x, y, out, a)
    return out


def inputs(dtype: pk.DType, rng: np.random.Generator) -> Iterator[tuple[Any, ...]]:
    yield pk.catalog.sample(rng, (77,), dtype), pk.catalog.sample(rng, (77,), dtype), 2.0
    yield pk.catalog.sample(rng, (66,), dtype)[::2], pk.catalog.sample(rng, (33,), dtype), {"a": -0.5}


def reference(x: np.ndarray, y: np.ndarray, a: float = 1.0) -> np.ndarray:
    return a * x.astype(np.float64) + y


@pytest.fixture
def registered() -> Iterator[pk.ops.Operator]:
    yield pk.register_op("axpy", axpy, reference=reference, inputs=inputs, dtypes=("float32", "float64"), bound=bound)
    registry.table().pop("axpy")
    makers().pop("axpy", None)


def bound(want: np.ndarray, x: np.ndarray, y: np.ndarray, a: float = 1.0) -> np.ndarray:
    return np.abs(a * x) * 1.2e-7 + np.abs(want) * 1.2e-7


def test_it_is_like_other_operators(registered: pk.ops.Operator) -> None:
    assert pk.ops.axpy is registered is pk.ops.find("axpy")
    pk.reset_stats()
    for sample in samples("axpy", "float32"):
        got = pk.ops.axpy(*sample.args, **sample.kwargs, backend="numpy")
        assert sample.check(got) <= 1
        assert sample.check(got + np.float32(1)) > 1
    assert pk.stats().operators == {("axpy", "scaled_add", "numpy"): 2}
    assert registered.kernels == ("scaled_add",)
    assert [d.name for d in registered.dtypes] == ["float64", "float32"]
    assert pk.supports("axpy", dtype="float32", backend="cuda", device="nvidia-h100")
    assert pk.explain("axpy", *samples("axpy", "float32")[0].args, backend="numpy").kernel == "scaled_add"
    x = np.ones(5, np.float32)
    assert type(pk.ops.axpy(x, x, a=2, out=np.empty_like(x))) is np.ndarray
    with pytest.raises(OverlapError, match=r"axpy\(\): out"):
        pk.ops.axpy(x, x, out=x)
    with pytest.raises(ArgumentDTypeError, match=r"axpy\(\): x: expected float32, float64, got int32"):
        pk.ops.axpy(x.astype(np.int32), x)


def test_as_a_decorator_and_by_name_once() -> None:
    try:

        @pk.register_op("twice_itself", elementwise=True)
        def twice_itself(x: Any, *, out: Any = None, backend: str | None = None, device: str | None = None) -> Any:
            return pk.ops.add(x, x, out=out, backend=backend, device=device)

        x = np.arange(3, dtype=np.float32)
        pk.reset_stats()
        assert twice_itself(x, out=x, backend="numpy") is x and x.tolist() == [0, 2, 4]
        assert {k[0] for k in pk.stats().operators} == {"twice_itself"}
        with pytest.raises(ArgumentError, match="expected one that is free, got 'twice_itself'"):
            pk.register_op("twice_itself", lambda x: x)
        assert not pk.supports("twice_itself")
    finally:
        registry.table().pop("twice_itself", None)


def test_mistakes() -> None:
    with pytest.raises(ArgumentError, match="name: expected an identifier, got 'a b'"):
        pk.register_op("a b", axpy)
    with pytest.raises(ArgumentError, match="inputs: expected a function beside reference"):
        pk.register_op("fine", axpy, reference=reference)
    with pytest.raises(ArgumentTypeError, match="fn: expected a function, got int"):
        pk.register_op("fine", 3)  # type: ignore[call-overload]
    assert "fine" not in pk.ops.operators()
