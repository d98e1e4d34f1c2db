"""Emitted Triton text as Python objects: for the compiler, and for Triton's interpreter in this process.

The interpreter is entered directly, not through ``TRITON_INTERPRET``, which would have to be set before Triton is
imported and would then hold for the user's own kernels as well. While a kernel is interpreted, ``triton.language`` is
patched by Triton itself; a lock keeps interpreted launches apart.
"""

from __future__ import annotations

import hashlib
import linecache
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np

from .. import config
from ..backends import Source
from ..backends.triton import attributes, signature
from ..errors import MissingDependencyError
from . import compilation
from .cache import Entry
from .compilation import Refused
from .driver import Binary, Grid

_lock = threading.RLock()


def package() -> Any:
    """The module ``triton``. Raises :class:`~portkernel.errors.MissingDependencyError` where it is absent."""
    try:
        import triton
    except ImportError as e:
        raise MissingDependencyError(
            f"triton: the package cannot be imported: {e}", hint='pip install "portkernel[triton]"'
        ) from None
    return triton


def _namespace(text: str) -> dict[str, Any]:
    """The module executed under a name of its own, its lines known to ``inspect``."""
    filename = f"<portkernel triton {hashlib.sha256(text.encode()).hexdigest()[:16]}>"
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    namespace: dict[str, Any] = {"__name__": filename.strip("<>").replace(" ", "_")}
    exec(compile(text, filename, "exec"), namespace)
    return namespace


def gpu_target(arch: str) -> Any:
    """Triton's name for ``arch``: ``sm_80`` and the like, or ``gfx942`` and the like."""
    from triton.backends.compiler import GPUTarget

    if arch.startswith("sm_"):
        return GPUTarget("cuda", int(arch[3:].rstrip("a")), 32)
    return GPUTarget("hip", arch, 32 if arch.startswith(("gfx10", "gfx11", "gfx12")) else 64)


def job_of(source: Source) -> dict[str, Any]:
    """All that the compiler is told, as plain data: what :func:`compile_job` takes in whichever process."""
    return {
        "compiler": "triton",
        "text": source.text,
        "entry": source.entry,
        "types": list(signature(source.params)),
        "divisible": [[i, n] for i, n in attributes(source.params).items()],
        "arch": source.target.arch,
        "options": dict(source.options),
    }


def compile_here(job: Mapping[str, Any]) -> Any:
    """Triton's compiled kernel, no device needed; ``.asm`` holds the text of every stage.

    Raises :class:`.compilation.Refused` with what the compiler said, the emitted line first.
    """
    triton = package()
    from triton.compiler import ASTSource

    fn = _namespace(job["text"])[job["entry"]]
    types = dict(zip(fn.arg_names, job["types"], strict=True))
    attrs = {(i,): [["tt.divisibility", n]] for i, n in job["divisible"]}
    try:
        return triton.compile(ASTSource(fn, types, {}, attrs), target=gpu_target(job["arch"]), options=job["options"])
    except Exception as e:  # Triton raises its own errors, and RuntimeError where a pass or an assembler fails
        raise Refused(_complaint(job["text"], e)) from e


def compile_job(job: Mapping[str, Any]) -> Entry:
    """The assembly as an entry of the cache."""
    asm = compile_here(job).asm
    kind = "ptx" if "ptx" in asm else "amdgcn"
    return Entry(str(asm[kind]).encode(), "", {"kind": kind, "arch": job["arch"]})


def _complaint(text: str, error: Exception) -> str:
    """``entry.py:<line>: error: <message>``, as other compilers write it, then all that was said."""
    said = str(error).strip() or repr(error)
    inner: BaseException | None = error
    while inner is not None and inner.__cause__ is not None:
        inner = inner.__cause__
    line = getattr(getattr(error, "node", None), "lineno", None)
    begin = (getattr(error, "src", None) or "").partition("\n")[0].strip()
    lines = text.splitlines()
    first = next((i for i, t in enumerate(lines, 1) if begin and t.strip() == begin), 0)
    place = f"entry.py:{first + line - 1}: " if line is not None and first else ""
    message = (str(inner) or repr(inner)).strip().splitlines()
    return f"{place}error: {message[-1] if message else said}\n{said}"


def obtain(source: Source) -> Entry:
    """The assembly for ``source.target``: from the cache, or compiled where a crash harms nobody."""
    triton = package()
    job = job_of(source)
    facts = {k: job[k] for k in ("types", "divisible", "options")}
    return compilation.obtain(
        source, f"triton {triton.__version__}", facts, job, lambda: compile_job(job), config.get()
    )


def binary(source: Source) -> Binary:
    """The compiled kernel as bytes: PTX, or the assembly of an AMD GPU."""
    entry = obtain(source)
    return Binary(entry.facts["kind"], entry.data, entry.log, {"arch": source.target.arch, "entry": source.entry})


# --- the interpreter ----------------------------------------------------------------------------------------


class Interpreted:
    """An emitted module under Triton's interpreter. Calling it runs the whole grid, one program after the other."""

    def __init__(self, source: Source) -> None:
        package()
        from triton import knobs

        with _lock, knobs.runtime.scope():
            knobs.runtime.interpret = True
            namespace = _namespace(source.text)
        self.types = signature(source.params)
        self.entry: Callable[..., None] = namespace[source.entry].fn
        for name, item in list(namespace.items()):
            if hasattr(item, "fn") and name != source.entry:
                # a call through InterpretedFunction patches the language anew each time; a plain function does not
                plain = item.fn
                plain.fn = plain
                namespace[name] = plain
        namespace["INTERPRETED"] = True
        namespace[source.entry] = self.entry

    def __call__(self, grid: Grid, values: Sequence[int | float | bool]) -> None:
        """Run with addresses for pointers and numbers for scalars, in the order of the text."""
        from triton.runtime.interpreter import GridExecutor

        names = list(self.entry.__code__.co_varnames[: self.entry.__code__.co_argcount])
        arguments = [_argument(v, t) for v, t in zip(values, self.types, strict=True)]
        with _lock, _faithful(), np.errstate(all="ignore"):
            GridExecutor(self.entry, names, grid)(*arguments)


def _argument(value: int | float | bool, kind: str) -> Any:
    import triton.language as tl
    from triton.runtime.interpreter import TensorHandle, _get_np_dtype

    ty = tl.str_to_ty(kind, None)
    handle = TensorHandle(np.array([value], dtype=_get_np_dtype(ty)), ty)
    return tl.tensor(handle, ty)


@contextmanager
def _faithful() -> Iterator[None]:
    """The interpreter as the compiler behaves: integers wrap, and a combine function runs on whole tiles.

    (By default it stops at an int32 overflow, and calls a combine function once for every element.)
    """
    from triton.runtime import interpreter as it

    builder = it.interpreter_builder
    before = builder.options, it.ReduceOps.generic_reduce, it.ScanOps.generic_scan
    builder.options = replace(builder.options, sanitize_overflow=False)
    it.ReduceOps.generic_reduce = _reduce
    it.ScanOps.generic_scan = _scan
    try:
        yield
    finally:
        builder.options, it.ReduceOps.generic_reduce, it.ScanOps.generic_scan = before


def _combined(op: Any, left: list[Any], right: list[Any], like: Sequence[Any]) -> list[Any]:
    args = [op.to_tensor(d, t.dtype) for d, t in zip([*left, *right], [*like, *like], strict=True)]
    out = op.combine_fn.fn(*args)
    return [t.handle.data for t in (out if isinstance(out, tuple) else (out,))]


_UFUNCS: dict[str, Any] = {
    "_add": np.add, "_mul": np.multiply, "_max": np.maximum, "_min": np.minimum, "_max_nan": np.maximum,
    "_min_nan": np.minimum, "_and": np.bitwise_and, "_or": np.bitwise_or, "_xor": np.bitwise_xor,
}  # fmt: skip
"""The emitter's own combine functions that are one NumPy function, as the interpreter has it for ``tl.sum``."""
_PICKS: dict[str, Any] = {
    "_argmax": np.argmax, "_argmin": np.argmin, "_argmax_nan": np.argmax, "_argmin_nan": np.argmin,
}  # fmt: skip
"""Those over (values, positions): positions rise along the axis, so that the first of equals has the least."""


def _reduce(self: Any, tiles: Sequence[Any]) -> list[Any]:
    """Halves against halves along the axis; an odd last element is carried over."""
    axis = self.axis
    parts = [t.handle.data for t in tiles]
    name = self.combine_fn.fn.__name__
    if name in _UFUNCS:
        return [self.to_tensor(_UFUNCS[name].reduce(parts[0], axis, dtype=parts[0].dtype), tiles[0].dtype)]
    if name in _PICKS:
        at = np.expand_dims(_PICKS[name](parts[0], axis), axis)
        picked = [np.squeeze(np.take_along_axis(p, at, axis), axis) for p in parts]
        return [self.to_tensor(p, t.dtype) for p, t in zip(picked, tiles, strict=True)]
    while (n := parts[0].shape[axis]) > 1:
        half = n // 2
        low, high, rest = (
            [_cut(p, axis, a, b) for p in parts] for a, b in ((0, half), (half, 2 * half), (2 * half, n))
        )
        done = [np.broadcast_to(d, x.shape) for d, x in zip(_combined(self, low, high, tiles), low, strict=True)]
        parts = [np.concatenate([d, r], axis) if r.shape[axis] else d for d, r in zip(done, rest, strict=True)]
    return [self.to_tensor(np.squeeze(p, axis), t.dtype) for p, t in zip(parts, tiles, strict=True)]


def _scan(self: Any, tiles: Sequence[Any]) -> list[Any]:
    """The running fold in log2(n) steps (Hillis and Steele, CACM 29(12), 1986): right for associative functions."""
    axis = self.axis
    parts = [t.handle.data for t in tiles]
    name = self.combine_fn.fn.__name__
    if name in _UFUNCS:
        return [self.to_tensor(_UFUNCS[name].accumulate(parts[0], axis, dtype=parts[0].dtype), tiles[0].dtype)]
    n, step = parts[0].shape[axis], 1
    while step < n:
        left = [np.concatenate([_cut(p, axis, 0, step), _cut(p, axis, 0, n - step)], axis) for p in parts]
        done = [np.broadcast_to(d, p.shape) for d, p in zip(_combined(self, left, parts, tiles), parts, strict=True)]
        parts = [
            np.concatenate([_cut(p, axis, 0, step), _cut(d, axis, step, n)], axis)
            for p, d in zip(parts, done, strict=True)
        ]
        step *= 2
    return [self.to_tensor(p, t.dtype) for p, t in zip(parts, tiles, strict=True)]


def _cut(a: Any, axis: int, start: int, stop: int) -> Any:
    return a[(slice(None),) * axis + (slice(start, stop),)]
