"""How the depth of a product is divided, and how a product with a vector is cut, where the kernels leave it to the host."""

from __future__ import annotations

import portkernel as pk
from portkernel.targets import Target

from ..programs import has_cores

LONG = 1024
"""Terms from which on a program of ``matmul_rows`` has work enough in a few rows."""
LONG_ROWS = (8, 16)
"""BM and BK for those: eight rows, each in the order of memory, are on their way at a time. A CPU takes so many rows that the
partial sums are eight vectors, which stay in registers."""
LINES = 4
"""Blocks of so many rows in a program on a CPU, if programs enough remain."""
WHOLE_ROWS = 4096
"""A program of ``matmul_columns`` on a CPU takes rows of up to so many elements whole, and reads memory in its order."""


def parts(m: int, n: int, depth: int, matrices: int, thin: bool) -> int:
    """Parts of the depth: enough programs for a machine of some tens of units, each with a thousand terms or more."""
    if thin:
        return min(pk.cdiv(depth, 8192), 64) if matrices * max(m, n) < 256 and depth >= 16384 else 1
    blocks = matrices * pk.cdiv(m, 64) * pk.cdiv(n, 64)
    return max(1, min(depth // 1024, 32 // blocks)) if depth >= 2048 else 1


def row_parts(target: Target, n: int, depth: int, matrices: int) -> int:
    """Parts of the depth for ``matmul_columns``: on a CPU enough for whole rows to occupy its cores, each of a thousand or more."""
    return min(depth // 1024, pk.cdiv(_wanted(target), matrices * pk.cdiv(n, WHOLE_ROWS))) if has_cores(target) else 1


def columns(target: Target, n: int, programs: int) -> dict[str, int]:
    """BN of ``matmul_columns`` where the depth is in parts and ``programs`` go over each row; nothing where the model chooses."""
    if not has_cores(target):
        return {}
    return {"BN": min(WHOLE_ROWS, pk.cdiv(pk.cdiv(n, pk.cdiv(_wanted(target), programs)), 128) * 128)}


def rows(target: Target, m: int, depth: int, products: int, width: int) -> dict[str, int]:
    """Constants of ``matmul_rows`` for ``products`` of ``m`` rows, accumulators of ``width`` bytes; those of short rows are the
    model's."""
    if depth < LONG:
        return {"LINES": 1}
    most, lines = LONG_ROWS[0], 1
    if has_cores(target):
        most = max(1, 8 * target.vector_bytes // (LONG_ROWS[1] * width))
        lines = LINES if products * m >= most * LINES * 2 * _wanted(target) else 1
    return {"BM": min(most, pk.next_power_of_2(m)), "BK": LONG_ROWS[1], "LINES": lines}


def _wanted(target: Target) -> int:
    """Programs that keep the cores of a CPU busy."""
    return 2 * target.units
