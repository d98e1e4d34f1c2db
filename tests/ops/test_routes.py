"""Which route a call takes, who is told, and what strict refuses."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

import portkernel as pk
from portkernel.dtypes import float32, float64
from portkernel.errors import (
    FallbackError,
    NoDeviceError,
    UnknownBackendError,
    UnknownOperatorError,
    UnsupportedDTypeError,
)
from portkernel.ops.routes import _supports
from portkernel.runtime import driver as drivers
from portkernel.targets import find as find_target
from portkernel.targets import variant

needs_opencl = pytest.mark.skipif(not importlib.util.find_spec("pyopencl"), reason="no OpenCL")
X = np.linspace(-1, 1, 35, dtype=np.float32).reshape(5, 7)


# --- explain ------------------------------------------------------------------------------------------------


@needs_opencl
def test_explain_names_the_route_and_writes_nothing() -> None:
    out = np.full_like(X, np.nan)
    pk.reset_stats()
    found = pk.explain(pk.ops.softmax, X, out=out)
    assert (found.backend, found.kernel) == ("opencl", "softmax_row")
    assert found.config["BM"] >= 1 and found.steps[0].kernel == "softmax_row"
    assert "cpu" in found.reason and dict(found.rejected).keys() >= {"numpy", "cuda"}
    assert "reference" in dict(found.rejected)["numpy"]
    assert np.isnan(out).all()
    assert not pk.stats().launches and not pk.stats().compilations
    assert "softmax_row" in str(found) and "not cuda" in str(found)


def test_explain_says_who_named_the_backend() -> None:
    assert pk.explain("exp", X, backend="numpy").reason == "the call names numpy"
    with pk.use(backend="numpy"):
        assert pk.explain("exp", X).reason == "the settings name numpy"
    assert pk.explain("transpose", X).steps == ()


def test_explain_raises_as_the_call() -> None:
    with pytest.raises(pk.errors.ArgumentShapeError, match=r"softmax\(\): axis"):
        pk.explain("softmax", X, axis=3)
    with pytest.raises(UnknownOperatorError, match="softmacks"):
        pk.explain("softmacks", X)


# --- supports -----------------------------------------------------------------------------------------------


def test_supports_asks_the_operator_and_the_emitter() -> None:
    assert pk.supports("softmax", dtype="float32", backend="numpy").state == "native"
    refused = pk.supports("softmax", dtype="int8", backend="numpy")
    assert not refused and "softmax(): x: expected float" in refused.reason
    assert pk.supports("relu", dtype="float16", backend="cuda", device="nvidia-h100").state == "native"
    assert pk.supports("relu", dtype="float16", backend="opencl", device="opencl-cpu").state == "emulated"


def test_supports_reads_the_target() -> None:
    target = find_target("opencl-cpu")
    lacking = variant(target, name="no-fp64", native=target.native - {"float64"}, absent=target.absent | {"float64"})
    exp = pk.ops.find("exp")
    assert _supports(exp, float64, "opencl", target) and _supports(exp, float32, "opencl", lacking)
    refused = _supports(exp, float64, "opencl", lacking)
    assert not refused and "float64" in refused.reason


def test_supports_refuses_unknown_names() -> None:
    with pytest.raises(UnknownBackendError):
        pk.supports("relu", backend="vulkan")
    for backend in ("numpy", "opencl", "cuda"):
        with pytest.raises(
            NoDeviceError, match=rf"supports\(\): device: expected a device of {backend} here, or a target"
        ):
            pk.supports("relu", backend=backend, device="nvidia-h10")


# --- fallbacks ----------------------------------------------------------------------------------------------


@pytest.fixture
def no_opencl(monkeypatch: pytest.MonkeyPatch) -> None:
    real = drivers.find

    def find(name: str) -> drivers.Driver:
        if name == "opencl":
            raise NoDeviceError("no OpenCL platform", hint='pip install "portkernel[cpu]"')
        return real(name)

    monkeypatch.setattr(drivers, "find", find)


def test_a_fallback_is_counted_for_its_operator(no_opencl: None, caplog: pytest.LogCaptureFixture) -> None:
    pk.reset_stats()
    with (
        pk.use(device=None),
        pk.config.override(verify=not pk.config.get().verify),
    ):  # settings of its own: no plan is kept
        pk.ops.cos(X)
        pk.ops.cos(X.T)
    (((operator, reason), count),) = pk.stats().operator_fallbacks.items()
    assert operator == "cos" and "no OpenCL platform" in reason and count >= 1
    assert len([r for r in caplog.records if "no OpenCL platform" in r.getMessage()]) == 1


def test_strict_refuses_another_backend(no_opencl: None) -> None:
    with pk.use(strict=True), pytest.raises(FallbackError, match=r"cos\(\): .*no OpenCL platform"):
        pk.ops.cos(X)


@needs_opencl
def test_a_dtype_that_the_target_lacks_goes_to_the_reference(monkeypatch: pytest.MonkeyPatch) -> None:
    from portkernel.runtime import programs

    def refuse(*args: object, **kwargs: object) -> object:
        if args[3].name == "opencl":  # type: ignore[attr-defined]  # the backend
            raise UnsupportedDTypeError("log2(): expected a dtype of the target, got float64")
        return emit(*args, **kwargs)  # type: ignore[arg-type]

    emit = programs.emit
    monkeypatch.setattr(programs, "emit", refuse)
    x = np.linspace(1, 2, 77)
    with pk.config.override(verify=not pk.config.get().verify):
        with pk.use(strict=True), pytest.raises(FallbackError, match=r"log2\(\): .*float64"):
            pk.ops.log2(x)
        with pytest.raises(UnsupportedDTypeError, match=r"log2\(\): "):
            pk.ops.log2(x, backend="opencl")
        pk.reset_stats()
        assert np.allclose(pk.ops.log2(x), np.log2(x))
    assert {k[0] for k in pk.stats().operator_fallbacks} == {"log2"}
    assert {backend for _, _, backend in pk.stats().operators} == {"numpy"}


# --- stats and trace ----------------------------------------------------------------------------------------


def test_stats_count_by_operator_kernel_and_backend() -> None:
    pk.reset_stats()
    for _ in range(7):  # the later ones are replayed without the host function
        pk.ops.softmax(X, backend="numpy")
    pk.ops.linear(X, X, backend="numpy")
    found = pk.stats()
    assert found.operators["softmax", "softmax_row", "numpy"] == 7
    assert sum(n for (op, _, _), n in found.operators.items() if op == "linear") == 1
    assert found.launches["softmax_row", "numpy"] == 7
    pk.reset_stats()
    assert not pk.stats().operators


def test_trace_notes_every_call(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pk.trace() as found:
        for _ in range(4):
            pk.ops.softmax(X, backend="numpy")
        pk.ops.transpose(X)
    assert [c.operator for c in found.calls] == ["softmax"] * 4 + ["transpose"]
    first = found.calls[0]
    assert first.route == "numpy: softmax_row" and first.bytes == 2 * X.nbytes and first.microseconds > 0
    (launch,) = first.launches
    assert first.start <= launch.start <= launch.end <= first.end
    assert found.calls[-1].route == "view"
    assert "softmax" in capsys.readouterr().out
    assert found.table().splitlines()[0].split() == ["operator", "route", "calls", "µs", "%", "bytes"]
    found.export(tmp_path / "trace.json")
    events = json.loads((tmp_path / "trace.json").read_text())["traceEvents"]
    assert {e["ph"] for e in events} == {"X"} and sum(e["cat"] == "kernel" for e in events) == 4
    assert all(e["dur"] >= 0 and isinstance(e["tid"], int) for e in events)
    pk.ops.exp(X, backend="numpy")
    assert len(found.calls) == 5


def test_trace_is_plain_text_without_rich(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    from portkernel.ops import tracing

    monkeypatch.setattr(tracing, "find_spec", lambda name: None)
    with pk.trace():
        pk.ops.exp(X, backend="numpy")
    assert "total" in capsys.readouterr().out
