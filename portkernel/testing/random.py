"""The random stream: known answers, and an implementation of its own in NumPy."""

from __future__ import annotations

import numpy as np

import portkernel as pk

from ..catalog import Array
from ..dtypes import DType
from .case import Launch, Table, like

table = Table()
_MASK = np.uint64(0xFFFFFFFF)


def philox(seed: int, counter: Array) -> tuple[Array, ...]:
    """Philox 4x32-10 (Salmon et al. 2011) in uint64 arithmetic."""
    c = [counter.astype(np.uint64) & _MASK, counter.astype(np.uint64) >> np.uint64(32)]
    c += [np.zeros_like(c[0]), np.zeros_like(c[0])]
    k0, k1 = seed & 0xFFFFFFFF, seed >> 32 & 0xFFFFFFFF
    for _ in range(10):
        p, q = c[0] * np.uint64(0xD2511F53), c[2] * np.uint64(0xCD9E8D57)
        high = np.uint64(32)
        c = [(q >> high) ^ c[1] ^ np.uint64(k0), q & _MASK, (p >> high) ^ c[3] ^ np.uint64(k1), p & _MASK]
        k0, k1 = (k0 + 0x9E3779B9) & 0xFFFFFFFF, (k1 + 0xBB67AE85) & 0xFFFFFFFF
    return tuple(x.astype(np.uint32) for x in c)


@pk.kernel
def words_kernel(counter, a, b, c, d, seed):
    i = pk.program_id(0)
    w0, w1, w2, w3 = pk.philox(seed, pk.load(counter, (i,), (50,)))
    pk.store(a, (i,), w0)
    pk.store(b, (i,), w1)
    pk.store(c, (i,), w2)
    pk.store(d, (i,), w3)


def _stream(seed: int) -> None:
    @table(pk.int32, pk.int64, pk.uint64, name=f"philox stream of seed {seed}")
    def make(dtype: DType, rng: np.random.Generator) -> Launch:
        counter = np.concatenate((np.arange(40), rng.integers(0, dtype.max, (80,), dtype.np).astype(np.uint64)))
        counter = counter.astype(dtype.np)
        want = dict(zip("abcd", philox(seed, counter), strict=True))
        args = {"counter": counter, "seed": seed} | {k: like(v) for k, v in want.items()}
        return Launch(words_kernel, args, want, (3,))


_stream(0)
_stream(12345)


@pk.kernel
def draw_kernel(uniform, normal, whole, seed):
    i = pk.program_id(0)
    place = i * 100 + pk.arange(100)
    pk.store(uniform, (i,), pk.rand(seed, place))
    pk.store(normal, (i,), pk.randn(seed, place))
    pk.store(whole, (i,), pk.randint(seed, place))


@table(pk.float32)
def rand_randn_randint(dtype: DType, rng: np.random.Generator) -> Launch:
    first, second, _, _ = philox(7, np.arange(250))
    uniform = (first >> np.uint32(8)).astype(np.float32) * np.float32(2**-24)
    angle = ((second >> np.uint32(8)).astype(np.float32) * np.float32(2**-24) * np.float32(6.283185307179586)).astype(
        np.float64
    )
    normal = np.sqrt(np.log(np.float32(1) - uniform).astype(np.float64) * -2) * np.cos(angle)
    whole = first.view(np.int32)
    args = {
        "uniform": like(uniform), "normal": like(uniform), "whole": like(whole), "seed": 7,
    }  # fmt: skip
    want = {"uniform": uniform, "normal": normal, "whole": whole}
    return Launch(draw_kernel, args, want, (3,), {"normal": np.full(250, 2e-5)})
