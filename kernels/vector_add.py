"""Sum of two vectors."""

from __future__ import annotations

import portkernel as pk
from portkernel.catalog import Case, Entry, Problem, exact, poison, rounding, sample


@pk.kernel
def vector_add(x, y, out, B: pk.constexpr[int] = pk.auto(64, 8192)):
    """``out = x + y`` for vectors of one length and dtype, any strides. Error: one rounding; integers wrap."""
    i = pk.program_id(0)
    pk.store(out, (i,), pk.load(x, (i,), (B,)) + pk.load(y, (i,), (B,)))


def _case(n: int, step: int = 1):
    def make(dtype: pk.DType, rng) -> Problem:
        x, y = (sample(rng, (n * abs(step),), dtype)[::step] for _ in range(2))
        out = poison((n,), dtype)

        def reference():
            return {"out": exact(x) + exact(y)}

        return Problem(
            args={"x": x, "y": y, "out": out},
            grid=lambda meta: (pk.cdiv(n, meta["B"]),),
            reference=reference,
            bound=lambda: {"out": rounding(reference()["out"], dtype)},
        )

    return make


ENTRIES = (
    Entry(
        "vector_add",
        vector_add,
        (pk.float64, pk.float32, pk.float16, pk.bfloat16, pk.int8, pk.int32, pk.int64, pk.uint8),
        (
            Case("1000003", _case(1_000_003)),
            Case("1", _case(1)),
            Case("every third element", _case(1001, 3)),
            Case("reversed", _case(777, -1)),
        ),
    ),
)
