"""Coverage of a target that is not here: each operator's text is emitted for it and judged by its profile. Nothing runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from .. import targets
from ..errors import (
    ArgumentDTypeError,
    CompilerError,
    DTypeError,
    MissingDependencyError,
    PortkernelError,
    SettingError,
    TargetError,
    UnsupportedDTypeError,
    UnsupportedOpError,
)
from ..runtime import inspection
from ..runtime.identity import compiler_version
from ..runtime.observation import Described
from ..targets.facts import Profile
from ..targets.facts import Route as TargetRoute
from ..targets.profile import chip
from . import trials as source
from .evidence import describe
from .model import Cell, Column, Outcome, Percentage, Report, Row, cell_id
from .provenance import made, now
from .states import State
from .static_checks import Findings, check
from .worker import summary
from .worklist import Depth, Selection, Tier, in_turn

WORDS = (
    "judged from its profile, nothing was executed: emitted says that the text respects what is known of the chip,"
    " compiled that a compiler here took it for the chip's architecture"
)
Progress = Callable[[float, Row], None]
"""Called before each row with how far the report is, from 0 to 1, and the row."""


def static_report(target: str, rows: Sequence[Row], selection: Selection, progress: Progress | None = None) -> Report:
    """What the operators ``rows`` would meet on ``target``, by each route that leads there.

    A quick selection emits for one dtype of the row that leads each operator and compiles nothing; the usual one emits every
    dtype of it and compiles the first; a full one takes every variant and compiles all. Of operators and cells asked for by
    name every variant is taken. Compiled is only what a compiler on this machine takes for the chip. Raises
    :class:`~portkernel.errors.UnknownTargetError`, and SettingError for backends that do not lead there.
    """
    start, clock = time.time(), time.perf_counter()
    profile = targets.record(target)
    routes = [route for route in chip(profile).routes if route.backend and route.is_open]
    known = [(column_of(profile, route), route) for route in routes]
    nowhere = selection.nowhere(column for column, _ in known)
    if known and nowhere:
        raise SettingError(
            f"--backends: expected a route to {profile.name}, got {', '.join(nowhere)}",
            hint=f"the routes are {', '.join(f'{column.id} ({column.backend})' for column, _ in known)}",
        )
    chosen = [(column, route) for column, route in known if selection.column(column)]
    asked = in_turn(row for row in rows if selection.row(row))
    wanted = [row for row, turn in asked if turn == 0 or selection.last_tier is Tier.REST]
    cells: list[Cell] = []
    for done, row in enumerate(wanted):
        if progress is not None:
            progress(done / len(wanted), row)
        cells += _cells(row, chosen, profile, selection)
    selection.check_cells(cell.id for cell in cells)
    columns = [column for column, _ in chosen]
    shares = [_share(wanted, cells, column, profile.title) for column in columns]
    return Report(
        made=made(start, time.perf_counter() - clock, True, ("--target", profile.name)),
        rows=wanted,
        columns=columns,
        cells=cells,
        percentages=shares,
        missing={profile.name: {"why": WORDS if columns else _no_route(profile), "hint": _hint(profile)}},
    )


def column_of(profile: Profile, route: TargetRoute) -> Column:
    """The column of a route to a profile: ``mthreads-s4000-qy2/triton``."""
    how = f" with the fork {route.fork}" if route.fork else ""
    name = f"{profile.title} by {route.name}{how}, judged from its profile: not executed"
    arch = targets.find(profile.name).arch
    return Column(
        f"{profile.name}/{route.name}", route.backend, "profile", "", name, profile.name, arch, "", route.compiler
    )


def _cells(
    row: Row, columns: Sequence[tuple[Column, TargetRoute]], profile: Profile, selection: Selection
) -> Iterator[Cell]:
    dtypes = [d for d in row.dtypes if not selection.dtypes or d in selection.dtypes]
    full, quick = selection.depth is Depth.FULL, selection.depth is Depth.QUICK
    for place, dtype in enumerate(dtypes[:1] if quick else dtypes):
        for column, route in columns:
            compiles = not quick and (full or place == 0) and _can_compile(route)
            if selection.cells and cell_id(row.id, dtype, column.id) not in selection.cells:
                continue
            clock = time.perf_counter()
            outcome = judge(row, dtype, column, route, chip(profile), compiles)
            took = time.perf_counter() - clock
            yield Cell(row.id, dtype, column.id, replace(outcome, took=took), now())


def _can_compile(route: TargetRoute) -> bool:
    """Whether a compiler of ours makes binaries for the route's chips, rather than the vendor's own."""
    return route.state in ("native", "upstream")


def judge(row: Row, dtype: str, column: Column, route: TargetRoute, device: Profile, compiles: bool) -> Outcome:
    """One cell: EMITTED or COMPILED with what should be known, UNSUPPORTED with what refuses it."""
    try:
        trial = source.trials(row.kind, row.id, dtype)[0]
        launches = describe(lambda: trial.run({"backend": column.backend}), column.target)
    except (TargetError, ArgumentDTypeError, DTypeError) as error:
        return Outcome(State.UNSUPPORTED, summary(error))
    except Exception as error:  # what a sample raises is a defect of ours: say so, and go on
        return Outcome(State.WRONG, summary(error))
    if not launches:
        return Outcome(State.UNTESTED, "the call launches no kernel")
    found, names = Findings(), dict[str, int]()
    for launch in launches:
        names[launch.kernel.name] = names.get(launch.kernel.name, 0) + 1
        try:
            where = f"{launch.kernel.name}.source()"
            text = inspection.emitted(
                launch.kernel, launch.args, launch.constants, column.backend, column.target, where
            )
        except (TargetError, ArgumentDTypeError, DTypeError) as error:
            return Outcome(State.UNSUPPORTED, _refusal(error, device), launches=names)
        except PortkernelError as error:
            return Outcome(State.WRONG, summary(error), launches=names)
        found += check(text, device, route, launch.grid)
    how = "; ".join(found.emulated)
    if found.refused:
        return Outcome(State.UNSUPPORTED, "; ".join(found.refused), how=how, launches=names)
    state, why = _compiled(launches, column) if compiles else (State.EMITTED, "")
    return Outcome(state, "; ".join((*found.reasons, why) if why else found.reasons), how=how, launches=names)


def _refusal(error: PortkernelError, device: Profile) -> str:
    """What refused the text, and what follows: what would have to be emulated, what is only not known."""
    said = summary(error)
    if not isinstance(error, UnsupportedDTypeError):
        return said
    if "atomics" in error.message:
        known = "features" in device.compiler
        return said if known else f"{said}; whether the chip has them is not known: taken to have none"
    return f"{said}; it would have to be emulated by arithmetic that the chip has, which portkernel does not do"


def _compiled(launches: Sequence[Described], column: Column) -> tuple[State, str]:
    """Compile what was emitted: COMPILED if a compiler here took all of it, else EMITTED and why."""
    said = ""
    for launch in launches:
        options = {"backend": column.backend, "target": column.target}
        try:
            binary = launch.kernel.compile(*launch.args, **launch.constants, **options)
            said = str(binary.metadata.get("compiler", ""))
        except CompilerError as error:
            return State.WRONG, summary(error)
        except (MissingDependencyError, UnsupportedOpError) as error:
            return State.EMITTED, f"not compiled: {error.message}"
    return State.COMPILED, f"compiled with {said or f'{column.backend} {compiler_version(column.backend)}'.rstrip()}"


def _share(rows: Sequence[Row], cells: Sequence[Cell], column: Column, title: str) -> Percentage:
    """The operators of which every cell on the column that the route does not refuse in words respects the profile."""
    names = {row.id: row.name for row in rows if row.kind == "operator"}
    good: set[str] = set()
    bad: set[str] = set()
    for cell in cells:
        if cell.column == column.id and cell.row in names:
            if cell.state in (State.EMITTED, State.COMPILED):
                good.add(names[cell.row])
            elif cell.state is State.WRONG:
                bad.add(names[cell.row])
    everything = set(names.values())
    what = (
        f"operators of portkernel whose text respects the profile of {title} in some dtype by the route of the column"
        f" (emitted or compiled, not executed), of the {len(everything)} judged"
    )
    return Percentage("operators", what, column.id, len(good - bad), len(everything))


def _no_route(profile: Profile) -> str:
    said = "; ".join(f"{r.name}: {r.state}" + (f" ({r.how})" if r.how else "") for r in chip(profile).routes)
    return f"no route for a kernel's text is known ({said})"


def _hint(profile: Profile) -> str:
    return f"portkernel targets show {profile.name} has the facts and their sources; on the device, run portkernel coverage"
