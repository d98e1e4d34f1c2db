"""Whether an emitted text respects a target profile: what refuses it, and what is worth knowing."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..backends import Source
from ..ir import Dot, Func, Tile, walk
from ..runtime.inspection import Emitted
from ..targets import language
from ..targets.facts import Profile, Route

_LANES = re.compile(r"\b(?:__shfl\w*|warpSize|__ballot\w*|__syncwarp|__activemask|0x1f)\b")


@dataclass(frozen=True, slots=True)
class Findings:
    """What breaks the profile (``refused``), what is computed in a wider type, and what else should be known.

    ``assumed`` are dtypes of which the profile says nothing.
    """

    refused: tuple[str, ...] = ()
    emulated: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    assumed: tuple[str, ...] = ()

    def __add__(self, other: Findings) -> Findings:
        names = (field.name for field in dataclasses.fields(Findings))
        return Findings(**{name: _union(getattr(self, name), getattr(other, name)) for name in names})

    @property
    def reasons(self) -> tuple[str, ...]:
        """The notes, and what was assumed."""
        if not self.assumed:
            return self.notes
        return (*self.notes, f"the profile does not say that the chip has {', '.join(sorted(self.assumed))}: assumed")


def _union(a: tuple[str, ...], b: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(dict.fromkeys((*a, *b)))


def check(made: Emitted, chip: Profile, route: Route, grid: object) -> Findings:
    """Everything that the profile ``chip`` says of the text ``made`` on ``route``, launched over ``grid``."""
    return (
        _threads(made.source, chip)
        + _local_memory(made, chip)
        + _grid(grid, made.constants, chip)
        + _dtypes(made, chip)
        + _language(made.source, chip, route)
    )


def _number(chip: Profile, fact: str) -> int | None:
    value = chip.value(fact)
    return value if isinstance(value, int) else None


def _threads(source: Source, chip: Profile) -> Findings:
    """Groups of threads, and what they take for granted of lanes."""
    refused: list[str] = []
    lanes, most, warps = (_number(chip, fact) for fact in ("lanes", "max_threads", "max_warps"))
    asked = dict(source.options).get("num_warps")
    if asked is None:
        if most is not None and source.threads > most:
            refused.append(f"{source.threads} threads a group, the limit is {most}")
        if lanes != 32 and _LANES.search(source.text):
            refused.append("the text takes 32 lanes for granted")
    elif isinstance(asked, int):
        if warps is not None and asked > warps:
            refused.append(f"num_warps={asked}, the limit is {warps}")
        elif most is not None and lanes and asked * lanes > most:
            refused.append(f"num_warps={asked} of {lanes} lanes, the limit is {most} threads")
    return Findings(tuple(refused))


def _local_memory(made: Emitted, chip: Profile) -> Findings:
    limit, taken = _number(chip, "local_bytes"), made.source.group_bytes
    if taken is None:
        least = _largest_step(made.func)
        if limit is not None and chip.value("lanes") == 0 and least > limit:
            return Findings((f"one operation on tiles takes at least {least} bytes, a core has {limit}",))
        return Findings()
    if limit is not None and taken > limit:
        return Findings((f"{taken} bytes of local memory, a group has {limit}",))
    if limit is None and taken:
        return Findings(notes=("how much local memory a group has is not known: the text keeps to what every GPU has",))
    return Findings()


def _largest_step(func: Func) -> int:
    """Bytes of the operands and results of the operation that has most of them; products aside, which go another way."""
    most = 0
    for op in walk(func.body):
        if not isinstance(op, Dot):
            tiles = [v.type for v in (*op.operands, *op.results) if isinstance(v.type, Tile)]
            most = max(most, sum(math.prod(t.shape) * t.dtype.itemsize for t in tiles))
    return most


def _grid(grid: object, constants: Mapping[str, object], chip: Profile) -> Findings:
    sides = grid(constants) if callable(grid) else grid
    if not isinstance(sides, tuple):
        sides = (sides,)
    sides = tuple(int(n) for n in sides if isinstance(n, int))
    limits, product = chip.value("max_grid"), _number(chip, "max_grid_product")
    if isinstance(limits, tuple):
        for axis, (side, limit) in enumerate(zip(sides, limits, strict=False)):
            if side > limit:
                return Findings((f"a grid of {side} programs along axis {axis}, the limit is {limit}",))
    if product is not None and math.prod(sides) > product:
        return Findings((f"a grid of {math.prod(sides)} programs, the limit is {product}",))
    return Findings()


def _dtypes(made: Emitted, chip: Profile) -> Findings:
    """The dtypes that the kernel computes with: those that the chip lacks were refused before there was a text."""
    used = {v.type.dtype.name for op in walk(made.func.body) for v in op.results if hasattr(v.type, "dtype")}
    passed = {p.type.dtype.name for p in made.source.params}
    notes = []
    for name in sorted(used | passed):
        fact = chip.dtype(name)
        if fact.state == "slow":
            notes.append(f"{name} is slow there" + (f": {fact.note}" if fact.note else ""))
    stated = {d.dtype for d in chip.dtypes if d.state != "unknown"}
    for name in sorted({op.a.type.dtype.name for op in walk(made.func.body) if isinstance(op, Dot)}):
        if chip.dtype(name, "matrix").state == "absent":
            notes.append(f"no matrix unit for {name}: products go through multiply and add")
    emulated = [f"{name} in a wider type" for name in sorted(made.source.emulated & (used | passed))]
    assumed = sorted(passed - made.source.emulated - stated)
    return Findings((), tuple(emulated), tuple(notes), tuple(assumed))


def _language(source: Source, chip: Profile, route: Route) -> Findings:
    """The version of Triton's language that the route's compiler has, and the integers that its text computes in."""
    if not route.language:
        return Findings()
    where = f"the fork {route.fork} (Triton {route.language})" if route.fork else f"Triton {route.language}"
    refused = [f"{where} has no {what}" for what in language.missing(source.text, route.language)]
    named = language.uses(source.text).names
    notes: list[str] = []
    for fact in chip.dtypes:
        if fact.usage == "arithmetic" and fact.dtype in named:
            if fact.state == "absent":
                refused.append(f"the text computes in {fact.dtype}, which the chip refuses")
            elif fact.state == "unknown" and fact.note:
                notes.append(f"the text computes in {fact.dtype}: {fact.note}")
    return Findings(tuple(refused), (), tuple(notes))
