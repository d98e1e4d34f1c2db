"""The ONNX project's own node tests, counted: which pass on portkernel without any fallback, and on onnxruntime.

``python -m portkernel.integrations.onnx.cases`` runs them all and prints a table; ``--write FILE`` puts it into a page.
A case counts as passed where its outputs agree, no node fell back, and every node that had elements to compute launched a
kernel. A case of views alone (shapes, names, lists) is counted apart.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx

import portkernel as pk

from .backend import Rep, uncovered
from .executor import Ran, as_value

PASSED = ("launched", "views")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a case: ``state`` is launched, views, refused (no operator), wrong, unlaunched or error."""

    name: str
    op_type: str
    state: str
    detail: str = ""
    peer: str = ""
    """What onnxruntime made of it: passed, wrong, refused, or nothing where it was not asked."""
    operators: tuple[str, ...] = ()
    """The operators of ``pk.ops`` that computed it, by name."""


@cache
def node_cases() -> list[Any]:
    """The cases that the installed onnx generates, by name."""
    from onnx.backend.test.loader import load_model_tests

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return sorted(load_model_tests(kind="node"), key=lambda c: str(c.name))


def operator_of(case: Any) -> str:
    """The operator that a case is about: that of its one node, or for an expanded body the one whose name it begins with."""
    kinds = {n.op_type for n in case.model.graph.node}
    name = str(case.name).removeprefix("test_")
    if len(kinds) == 1 and "_expanded" not in name:
        return str(next(iter(kinds)))
    return _owners().get(name.split("_expanded")[0]) or _by_prefix(name) or "several"


@cache
def _owners() -> dict[str, str]:
    """The operator of every case of one node, by the case's name."""
    found = {}
    for case in node_cases():
        kinds = {n.op_type for n in case.model.graph.node}
        if len(kinds) == 1 and "_expanded" not in case.name:
            found[str(case.name).removeprefix("test_")] = str(next(iter(kinds)))
    return found


def _by_prefix(name: str) -> str:
    plain = name.replace("_", "").lower()
    fitting = [s.name for s in onnx.defs.get_all_schemas() if plain.startswith(s.name.lower())]
    return max(fitting, key=len, default="")


def run_case(case: Any, backend: str | None = None) -> tuple[str, str]:
    """The state of a case on portkernel, and why; ``backend`` is the usual one where none is named."""
    missing = uncovered(case.model)
    if missing:
        return "refused", ", ".join(missing)
    rep = Rep(case.model, False, {"backend": backend})
    rep.watch = True
    seen: list[Ran] = []
    try:
        for inputs, expected in case.data_sets:
            got = rep.run([as_value(x) for x in inputs])
            seen.extend(rep.ran)
            compare([as_value(x) for x in expected], got, case.rtol, case.atol)
    except AssertionError as e:
        return "wrong", _short(e)
    except pk.errors.UncoveredOperatorError as e:
        return "refused", _short(e)
    except Exception as e:  # a case that fails in whatever way is one that does not pass
        return "error", f"{type(e).__name__}: {_short(e)}"
    unlaunched = [r.op_type for r in seen if r.how in ("unlaunched", "fallback")]
    if unlaunched:
        return "unlaunched", ", ".join(dict.fromkeys(unlaunched))
    return ("launched" if any(r.launches for r in seen) else "views"), ""


def compare(expected: Sequence[Any], got: Sequence[Any], rtol: float, atol: float) -> None:
    """The comparison of the ONNX project's runner."""
    from onnx.backend.test.runner import Runner

    assert len(expected) == len(got), f"expected {len(expected)} outputs, got {len(got)}"
    for want, have in zip(expected, got, strict=True):
        if isinstance(want, list):  # the runner itself fails on a list that holds a scalar
            assert isinstance(have, list), f"expected a sequence, got {type(have).__name__}"
            compare(want, have, rtol, atol)
        elif want is None or have is None:
            assert want is have, f"expected {want}, got {have}"
        else:
            Runner.assert_similar_outputs([want], [have], rtol, atol)


def run_peer(case: Any) -> str:
    """What onnxruntime makes of a case; it gets types that NumPy lacks as its own values."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(case.model.SerializeToString(), options, ["CPUExecutionProvider"])
        for inputs, expected in case.data_sets:
            names = [i.name for i in session.get_inputs()]
            given = dict(zip(names, [_peer_value(as_value(x)) for x in inputs], strict=False))
            compare([as_value(x) for x in expected], session.run(None, given), case.rtol, case.atol)
    except AssertionError:
        return "wrong"
    except Exception:  # as above
        return "refused"
    return "passed"


def _peer_value(x: Any) -> Any:
    if not isinstance(x, np.ndarray) or x.dtype.isbuiltin or x.dtype.kind in "OUS":
        return x
    from onnxruntime import OrtValue

    bits = x.view(np.uint16 if x.dtype.itemsize == 2 else np.uint8)
    return OrtValue.ortvalue_from_numpy_with_onnx_type(bits, onnx.helper.np_dtype_to_tensor_dtype(x.dtype))


def _short(e: BaseException) -> str:
    return " ".join(str(e).split())[:300]


def run(
    names: Iterable[str] = (), *, peer: bool = False, report: bool = False, backend: str | None = None
) -> Iterator[Outcome]:
    """The outcomes of the cases whose name contains one of ``names``, of all without names."""
    wanted = tuple(names)
    for case in node_cases():
        if wanted and not any(n in case.name for n in wanted):
            continue
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            before = pk.stats().operators
            state, detail = run_case(case, backend)
            called = {key[0] for key, n in pk.stats().operators.items() if n > before.get(key, 0)}
            other = run_peer(case) if peer else ""
        if report and state not in PASSED:
            print(f"{case.name}: {state}: {detail}", file=sys.stderr)
        yield Outcome(str(case.name), operator_of(case), state, detail, other, tuple(sorted(called)))


def table(outcomes: Sequence[Outcome]) -> str:
    """Markdown: for each operator its cases, those passed with launches, by views, and by onnxruntime."""
    rows = []
    by_operator: dict[str, list[Outcome]] = {}
    for o in outcomes:
        by_operator.setdefault(o.op_type, []).append(o)
    with_peer = any(o.peer for o in outcomes)
    for name, group in sorted(by_operator.items()):
        states = Counter(o.state for o in group)
        why = "; ".join(f"{n} {s}" for s, n in sorted(states.items()) if s not in PASSED)
        cells = [name, len(group), states["launched"], states["views"], why]
        if with_peer:
            cells.insert(4, sum(o.peer == "passed" for o in group))
        rows.append("| " + " | ".join(map(str, cells)) + " |")
    head = "| operator | cases | with kernels | views | " + ("onnxruntime | " if with_peer else "") + "not passed |"
    rule = "|---|---:|---:|---:|" + ("---:|" if with_peer else "") + "---|"
    return "\n".join([head, rule, *rows])


def summary(outcomes: Sequence[Outcome]) -> str:
    states = Counter(o.state for o in outcomes)
    total = len(outcomes)
    passed = sum(states[s] for s in PASSED)
    lines = [
        f"Of {total} node cases of onnx {onnx.__version__}, {passed} pass on portkernel without any fallback: "
        f"{states['launched']} with kernel launches, {states['views']} that are views of memory alone."
    ]
    if any(o.peer for o in outcomes):
        import onnxruntime

        count = sum(o.peer == "passed" for o in outcomes)
        lines.append(f"onnxruntime {onnxruntime.__version__} passes {count} of them in the same run.")
    rest = ", ".join(f"{n} {s}" for s, n in sorted(states.items()) if s not in PASSED)
    lines.append(f"The others: {rest or 'none'}.")
    return " ".join(lines)


def served(outcomes: Iterable[Outcome]) -> dict[str, list[str]]:
    """For each operator of ``pk.ops`` the ONNX operators whose cases it took part in as they passed; see :mod:`.usage`."""
    found: dict[str, set[str]] = {}
    for o in outcomes:
        if o.state in PASSED and o.op_type != "several" and "_expanded" not in o.name:
            for name in o.operators:
                found.setdefault(name, set()).add(o.op_type)
    return {name: sorted(kinds) for name, kinds in sorted(found.items())}


def write(page: Path, outcomes: Sequence[Outcome]) -> None:
    """Put summary and table between the marks of a page."""
    text = page.read_text(encoding="utf-8")
    begin, end = "<!-- onnx cases: begin -->", "<!-- onnx cases: end -->"
    head, rest = text.split(begin)
    tail = rest.split(end)[1]
    body = f"{begin}\n\n{summary(outcomes)}\n\n{table(outcomes)}\n\n{end}"
    page.write_text(head + body + tail, encoding="utf-8")


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m portkernel.integrations.onnx.cases", description=__doc__)
    parser.add_argument("names", nargs="*", help="parts of names of cases; all without")
    parser.add_argument("--no-peer", action="store_true", help="leave onnxruntime out")
    parser.add_argument("--backend", help="the backend of every launch")
    parser.add_argument("--write", type=Path, help="a page to put summary and table into")
    parser.add_argument("--counts", type=Path, help="write how many cases pass of each operator, as JSON")
    parser.add_argument("--serving", type=Path, help="write which operators took part in the cases of which, as JSON")
    parser.add_argument("--json", type=Path, help="write every outcome")
    given = parser.parse_args(argv)
    os.environ.setdefault("ALLOW_RELEASED_ONNX_OPSET_ONLY", "0")  # onnxruntime: models of the newest opset, too
    peer = not given.no_peer and find_spec("onnxruntime") is not None
    outcomes = list(run(given.names, peer=peer, report=True, backend=given.backend))
    print(table(outcomes) + "\n\n" + summary(outcomes))
    if given.write:
        write(given.write, outcomes)
    if given.counts:
        counts = Counter(o.op_type for o in outcomes if o.state in PASSED)
        given.counts.write_text(json.dumps(dict(sorted(counts.items())), indent=1) + "\n", encoding="utf-8")
    if given.serving:
        given.serving.write_text(json.dumps(served(outcomes), indent=1) + "\n", encoding="utf-8")
    if given.json:
        rows = [
            {"name": o.name, "operator": o.op_type, "state": o.state, "detail": o.detail, "peer": o.peer}
            for o in outcomes
        ]
        given.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
