"""The process that runs candidates: a compiler or a kernel that crashes or hangs costs the candidate alone."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from .. import backends, config
from ..dtypes import DType, accumulator, as_dtype
from ..errors import InternalError
from ..ir import Block, Func, Tile, Value, parse_func
from ..runtime import driver as drivers
from ..runtime.arguments import ArrayRef, tensor_type
from ..runtime.programs import scheduled
from ..runtime.resident import Resident, unpack
from ..runtime.turns import in_turns
from ..runtime.worker import serve

_RUNS = 5
_SECONDS = 0.15
_LOOK = 0.04
_HOPELESS = 1.25
"""A candidate this many times slower than the best one after five runs and ``_LOOK`` seconds is not run again."""
_ROUNDS = 3
Array = np.ndarray[Any, Any]
Args = Mapping[str, Resident]

_inputs: dict[str, Resident] = {}
"""By the file they came from, so that large ones are read once."""


def main() -> None:
    serve(perform)


def perform(job: dict[str, Any]) -> tuple[dict[str, Any], bytes]:
    """Compile a candidate, check what it computes, time it; or let several take turns that each did well alone.

    Answers with the ``seconds`` of each candidate (one: its shortest run; several: the medians of their turns), or with
    the ``reason`` for which it is out.
    """
    with config.override(isolate=False, tune="off"):
        candidates, args = job["candidates"], _arguments(job)
        runs = [_launcher(job, candidate, args) for candidate in candidates]
        if len(runs) > 1:
            return {"seconds": in_turns(runs, job["seconds"], _ROUNDS)}, b""
        (run,) = runs
        run()
        wrong = _compare(candidates[0]["outputs"], args, Path(job["folder"]), job["first"])
        if wrong:
            return {"reason": wrong}, b""
        return {"seconds": [_shortest(run, job["best"])]}, b""


def _arguments(job: Mapping[str, Any]) -> dict[str, Resident]:
    """Copies of the launch's arguments: what a candidate writes is always new."""
    folder, found = Path(job["folder"]), {}
    for place in [place for place in _inputs if not place.startswith(f"{folder}/")]:
        del _inputs[place]  # those of an earlier launch
    written = {name for candidate in job["candidates"] for name in candidate["outputs"]}
    for facts in job["args"]:
        name, place = facts["name"], f"{folder}/{facts['name']}"
        if place not in _inputs or name in written:
            _inputs[place] = unpack(facts, folder)
        found[name] = _inputs[place]
    return found


def _launcher(job: Mapping[str, Any], candidate: Mapping[str, Any], args: Args) -> Callable[[], None]:
    driver = drivers.find(job["backend"])
    device = driver.device(job["device"], None)
    target = driver.target(device)
    if job["schedule"]:
        target = scheduled(target, job["schedule"])
    params = tuple(
        Value(tensor_type(r.value) if isinstance(r.value, ArrayRef) else Tile((), as_dtype(job["scalars"][name])), name)
        for name, r in args.items()
    )
    func = parse_func(candidate["ir"], Func(candidate["kernel"], params, Block((), (), ())), "candidate")
    source = backends.find(job["backend"]).emit(func, target)
    if candidate["options"]:
        source = replace(source, options=tuple(sorted({**dict(source.options), **candidate["options"]}.items())))
    loaded = driver.compile(source, func, device)
    launch = loaded.prepare([r.value for r in args.values()])
    values: list[Any] = [r.value.ptr if isinstance(r.value, ArrayRef) else r.value for r in args.values()]
    owners = [r.memory for r in args.values()]
    x, y, z = candidate["grid"]
    return lambda: launch((x, y, z), values, owners)


def _shortest(run: Callable[[], None], best: float | None) -> float:
    shortest, begin, passed, runs = float("inf"), time.perf_counter(), 0.0, 0
    while runs < _RUNS or (passed < _SECONDS and runs < 100 * _RUNS):
        start = time.perf_counter()
        run()
        end = time.perf_counter()
        shortest, passed, runs = min(shortest, end - start), end - begin, runs + 1
        if runs >= _RUNS and passed > _LOOK and best is not None and shortest > _HOPELESS * best:
            break
    return shortest


def _compare(outputs: list[str], args: Args, folder: Path, first: bool) -> str:
    """What is wrong with the outputs beside those of the first candidate, which this writes down."""
    for name in outputs:
        file, ref = folder / f"{name}.first.npy", args[name].value
        if not isinstance(ref, ArrayRef):
            raise InternalError(f"{name}: expected an array among the outputs")
        got = args[name].elements()
        if first:
            np.save(file, got.view(f"u{ref.dtype.itemsize}"))
            continue
        want = np.load(file, allow_pickle=False).view(ref.dtype.np)
        error = difference(got, want, ref.dtype)
        if error > 1:
            return f"{name} differs from the first candidate's by {error:.3g} times what is allowed"
    return ""


def difference(got: Array, want: Array, dtype: DType) -> float:
    """How far two results of the same kernel are apart: at most 1 where only the order of additions differs.

    Integers and NaNs must agree. Allowed is 4 ε of the element in its dtype, plus 256 ε of the largest one in the dtype
    that sums are kept in.
    """
    if not dtype.is_float:
        return 0.0 if np.array_equal(got, want) else float("inf")
    a, b = got.astype(np.float64), want.astype(np.float64)
    plain = np.isfinite(a) & np.isfinite(b)
    if not np.array_equal(a[~plain], b[~plain], equal_nan=True):
        return float("inf")
    if not plain.any():
        return 0.0
    a, b = a[plain], b[plain]
    allowed = 4 * dtype.eps * np.abs(b) + 256 * accumulator(dtype).eps * np.abs(b).max()
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(np.max(np.where(a == b, 0.0, np.abs(a - b) / allowed)))
