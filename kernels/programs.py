"""Where a program stands, in grids of one axis: accelerators allow 65,535 programs along the others, users' arrays have more rows."""

from __future__ import annotations

from typing import Any

import portkernel as pk
from portkernel.targets import Target

Array = Any


def split(program, count):
    """The places of ``program`` along two axes folded into one: along the faster one, of ``count``, and along the slower."""
    return program % count, program // count


LIMIT = 65535
"""Programs along a second axis that every accelerator allows."""


def line_of(x, side):
    """``(i, b)``: which ``side`` elements of K1 of x ``(K0, R0, K1, R1)``, and which element of K0. Grid: cdiv(K1, side) · K0."""
    return split(pk.program_id(0), pk.cdiv(x.shape[2], side))


def part_of(x, side):
    """``(i, b, s)``: as ``line_of``, and which part of the reduction. Grid: cdiv(K1, side) · K0 · parts."""
    i, rest = split(pk.program_id(0), pk.cdiv(x.shape[2], side))
    b, s = split(rest, x.shape[0])
    return i, b, s


def tile_of(x, rows, cols):
    """``(a, i, j)``: a block of ``rows`` by ``cols`` of the last two axes of x, j running fastest, and all the others as one.

    Grid: cdiv(N, cols) · cdiv(M, rows) · the product of the leading axes.
    """
    j, rest = split(pk.program_id(0), pk.cdiv(x.shape[-1], cols))
    i, a = split(rest, pk.cdiv(x.shape[-2], rows))
    return a, i, j


def head_of(x, side):
    """``(i, h, b)``: which ``side`` rows of x ``(B, H, S, D)``, of which head and image. Grid: cdiv(S, side) · H · B."""
    i, rest = split(pk.program_id(0), pk.cdiv(x.shape[2], side))
    h, b = split(rest, x.shape[1])
    return i, h, b


_PROGRAM = 16384


def lines_of_program(x: Array, tile: int, blocks: int, route: dict[str, Any]) -> int:
    """How many of ``blocks`` of ``tile`` elements a program takes, one after the other: on a CPU some 16384 elements, so that
    starting it costs little beside its work, but no core goes without; elsewhere one, which the threads of a group share."""
    target = pk.target_of(x, **route)
    if not has_cores(target):
        return 1
    return 1 << max(0, min(_PROGRAM // tile, blocks // target.units).bit_length() - 1)


def on_cpu(x: Array, route: dict[str, Any]) -> bool:
    """Whether a launch with ``x`` gives each program a core of its own."""
    return has_cores(pk.target_of(x, **route))


def has_cores(target: Target) -> bool:
    """Whether a program runs on a core, rather than on a group of threads or all of them at once."""
    return target.schedule == "cpu" and not target.has("whole_grid")
