"""Folds along either axis: sum, max, argmax; running sums."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ..model import Case, Contest, Suite
from .library import HOST, bars, normal, operator, peer_module, relative_error

_NUMPY: dict[str, Callable[..., Any]] = {"sum": np.sum, "mean": np.mean, "max": np.max, "argmax": np.argmax}
_TORCH = {"sum": "sum", "mean": "mean", "max": "amax", "argmax": "argmax"}


def _fold(which: str, shape: tuple[int, ...], axis: int | None, dtype: str, device: str | None) -> Contest:
    x = normal(shape, dtype)
    kept = () if axis is None else tuple(n for d, n in enumerate(shape) if d != axis)
    ours, theirs = (np.zeros(kept, np.int64 if which == "argmax" else dtype) for _ in range(2))
    numpy_fold = _NUMPY[which]
    own = operator(which)
    torch = peer_module("torch")
    peers: dict[str, Callable[[], object]] = {"numpy": lambda: numpy_fold(x, axis=axis, out=theirs)}
    if torch is not None:
        tx, function = torch.from_numpy(x), getattr(torch, _TORCH[which])
        over = () if axis is None else (axis,)
        peers["torch"] = lambda: function(tx, *over)

    def error() -> float:
        # NumPy adds columns of float16 up in float16, which is no reference
        wanted = theirs if dtype == "float32" else np.asarray(numpy_fold(x.astype(np.float32), axis=axis))
        return relative_error(ours, wanted, 1e-4 if dtype == "float32" else 1e-3)()

    return Contest(
        lambda: own(x, axis=axis, out=ours, backend=HOST, device=device),
        peers,
        float(x.nbytes + ours.nbytes),
        float(x.size),
        error,
    )


def _cumsum(m: int, n: int, device: str | None) -> Contest:
    x = normal((m, n))
    ours, theirs = (np.zeros_like(x) for _ in range(2))
    cumsum = operator("cumsum")
    run = lambda: cumsum(x, 1, out=ours, backend="opencl", device=device)  # noqa: E731
    torch = peer_module("torch")
    peers: dict[str, Callable[[], object]] = {"numpy": lambda: np.cumsum(x, axis=1, out=theirs)}
    if torch is not None:
        tx, out = torch.from_numpy(x), torch.empty((m, n))
        peers["torch"] = lambda: torch.cumsum(tx, 1, out=out)
    return Contest(run, peers, 2.0 * x.nbytes, float(x.size), relative_error(ours, theirs, 1e-4))


def _variance(axis: int | None, device: str | None) -> Contest:
    x = normal((4096, 4096))
    ours, theirs = (np.zeros(() if axis is None else 4096, np.float32) for _ in range(2))
    own = operator("var")
    torch = peer_module("torch")
    peers: dict[str, Callable[[], object]] = {"numpy": lambda: np.var(x, axis=axis, out=theirs)}
    if torch is not None:
        tx = torch.from_numpy(x)
        peers["torch"] = lambda: torch.var(tx, axis, correction=0)
    run = lambda: own(x, axis=axis, out=ours, backend=HOST, device=device)  # noqa: E731
    return Contest(run, peers, float(x.nbytes + ours.nbytes), 3.0 * x.size, relative_error(ours, theirs, 1e-4))


def _case(which: str, axis: int | None, dtype: str, quick: bool = False) -> Case:
    label = f"{which} 4096×4096 {'whole' if axis is None else f'axis {axis}'} {dtype}"
    return Case(label, lambda device: _fold(which, (4096, 4096), axis, dtype, device), quick)


def _whole(which: str) -> Case:
    return Case(f"{which} of 100,000,000", lambda device: _fold(which, (100_000_000,), None, "float32", device))


SUITES = (
    Suite(
        "reduce", "folds along an axis", "fastest", bars(0.9, 1.1),
        (
            *(_case(w, axis, "float32", axis is not None) for w in _NUMPY for axis in (0, 1, None)),
            *(_case(w, axis, "float16") for w in _NUMPY for axis in (0, 1)),
            *(_whole(w) for w in _NUMPY),
            *(
                Case(f"var 4096×4096 {'whole' if axis is None else f'axis {axis}'}", lambda device, axis=axis: _variance(axis, device))  # type: ignore[misc]
                for axis in (0, 1, None)
            ),
        ),
    ),
    Suite(
        "cumsum", "running sums", "fastest", bars(0.9, 1.1),
        (Case("4096×4096", lambda device: _cumsum(4096, 4096, device), True),),
    ),
)  # fmt: skip
