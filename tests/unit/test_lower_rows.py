"""What one thread does with rows: turns of loops that see no edge, tiles that folds store on their way."""

from __future__ import annotations

import numpy as np
import pytest

import portkernel as pk

pytest.importorskip("pyopencl")


@pk.kernel
def extremes(x, out, BN: pk.constexpr[int] = 32):
    """The place and value of the largest so far, carried over tiles whose loads move with the counter."""
    i = pk.program_id(0)
    best = pk.full((1, BN), -1e30, pk.float32)
    step = pk.full((1, BN), 0, pk.int32)
    for t in range(pk.cdiv(x.shape[1], BN)):
        v = pk.load(x, (i, t), (1, BN), pad=-1e30)
        better = v > best
        best = pk.where(better, v, best)
        step = pk.where(better, pk.astype(t, pk.int32), step)
    pk.store(out, (i, 0), best + step.astype(pk.float32))


@pk.kernel
def centred(x, out, BN: pk.constexpr[int] = 320):
    """Tiles that are read by a fold first, then again."""
    i = pk.program_id(0)
    v = pk.load(x, (i, 0), (1, BN))
    e = pk.exp(v - v.max(axis=1)[:, None])
    pk.store(out, (i, 0), e / e.sum(axis=1)[:, None])


@pytest.mark.parametrize("n", [1, 31, 32, 33, 64, 320, 331])
def test_last_turns_are_not_those_before(n: int) -> None:
    x = np.random.default_rng(n).standard_normal((3, n)).astype(np.float32)
    found, want = (np.full((3, 32), np.nan, np.float32) for _ in range(2))
    extremes[(3,)](x, found, backend="opencl")
    extremes[(3,)](x, want, backend="numpy")
    assert np.array_equal(found, want)


@pytest.mark.parametrize("n", [5, 319, 320])
def test_a_fold_stores_what_it_reads(n: int) -> None:
    x = np.random.default_rng(n).standard_normal((2, n)).astype(np.float32)
    found, want = (np.full((2, n), np.nan, np.float32) for _ in range(2))
    centred[(2,)](x, found, backend="opencl")
    centred[(2,)](x, want, backend="numpy")
    assert np.allclose(found, want, rtol=1e-5)


def test_the_loop_without_an_edge_has_no_branch() -> None:
    spec = pk.TensorSpec(2, "float32")
    text = str(extremes.source(spec, spec, backend="opencl", target="opencl-cpu"))
    first = text[text.index("for (long") :]
    assert "if (" not in first[: first.index("\n  }\n")]
