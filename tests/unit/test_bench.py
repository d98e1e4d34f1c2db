"""The bench command: how times are summed up and shown. Nothing is timed here."""

from __future__ import annotations

import dataclasses
import importlib
import itertools
import sys
import threading
import time
from pathlib import Path

import pytest
from click.testing import CliRunner

from portkernel.bench import measure, report, run
from portkernel.bench.model import Interval, Peaks, Result, against, geometric_mean, mean_speed, share_of_peak
from portkernel.bench.run import Report
from portkernel.bench.suites import SUITES
from portkernel.cli import portkernel
from portkernel.runtime import turns


def result(ours: float, theirs: float, spread: float = 0.0) -> Result:
    ratio = theirs / ours
    return Result(
        "gemv", "4096×4096", {"ours": Interval(ours, ours, ours), "numpy": Interval(theirs, theirs, theirs)},
        {"ours": ours, "numpy": theirs}, {"numpy": Interval(ratio, ratio * (1 - spread), ratio * (1 + spread))}, 9, 2e9, 1e9, 0.1,
    )  # fmt: skip


def a_report(*results: Result) -> Report:
    return Report("a CPU", "a device", "2026-01-01", 2, {"numpy": "2"}, Peaks({"float32": 1e12}, 1e10), results, "pocl")


def test_the_interval_of_a_median_comes_from_order_statistics() -> None:
    found = measure.interval([float(i) for i in range(100)])
    assert found.median == 49.5
    assert found.low == 40.0 and found.high == 60.0


def test_rounds_take_turns_and_do_not_count_the_first_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(turns, "_rest", lambda: calls.append("rest"))
    monkeypatch.setattr(turns, "TURN", 1e-9)
    taken = measure.rounds({"ours": lambda: calls.append("ours"), "numpy": lambda: calls.append("numpy")}, 0.0)
    assert [len(t) for t in taken.values()] == [measure.MIN_ROUNDS] * 2
    ours, numpy = ["rest", "ours", "ours"], ["rest", "numpy", "numpy"]
    assert calls[: 2 * measure.WARM_UP + 12] == ["ours", "numpy"] * measure.WARM_UP + ours + numpy + numpy + ours


@pytest.mark.parametrize(("ours", "rounds"), [([1.0], 20), ([1.0, 3.0], 20 * measure.LONGER)])
def test_rounds_go_on_while_the_ratio_is_uncertain(
    ours: list[float], rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = itertools.count(0.0, 0.001)  # a tick for each round
    monkeypatch.setattr(time, "perf_counter", lambda: next(clock))
    times = {"ours": itertools.cycle(ours), "numpy": itertools.repeat(1.0)}
    monkeypatch.setattr(measure, "turn", lambda run: next(run()))
    taken = measure.rounds({name: lambda name=name: times[name] for name in times}, 0.020)  # type: ignore[misc]
    assert len(taken["ours"]) == pytest.approx(rounds, abs=1)


def test_turns_change_their_order_and_do_not_count_the_first_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[str] = []
    monkeypatch.setattr(turns, "turn", lambda run: run() or float(len(calls)))
    assert turns.in_turns([lambda: calls.append("a"), lambda: calls.append("b")], 0.0, 3) == [6.0, 5.0]
    assert "".join(calls) == "abab" + "ba" + "ab"


def test_a_turn_waits_for_threads_that_spin() -> None:
    until = time.perf_counter() + 3 * turns.PAUSE

    def spin() -> None:
        while time.perf_counter() < until:
            pass

    threading.Thread(target=spin).start()
    turns._rest()
    assert time.perf_counter() >= until


def test_speeds_are_paired_by_round() -> None:
    assert measure.speeds({"ours": [1.0, 2.0, 4.0], "numpy": [2.0, 4.0, 8.0]})["numpy"] == Interval(2.0, 2.0, 2.0)


def test_a_wide_interval_gives_no_speed() -> None:
    assert against(result(1.0, 2.0, 0.1), "numpy") is not None
    assert against(result(1.0, 2.0, 0.3), "numpy") is None
    assert against(result(1.0, 2.0), "torch") is None


def test_a_mean_is_more_certain_than_its_cases() -> None:
    wide = Interval(2.0, 1.5, 2.7)
    assert wide.spread > 0.4
    assert mean_speed([wide]) is None
    found = mean_speed([wide] * 16)
    assert (
        found is not None
        and found.median == pytest.approx(2.0)
        and found.spread == pytest.approx(wide.spread / 4, rel=0.1)
    )
    assert mean_speed([]) is None and mean_speed([Interval(1.0, 0.0, 2.0)]) is None


def test_the_fastest_peer_counts() -> None:
    both = dataclasses.replace(result(1.0, 2.0), speed={"numpy": Interval(2, 2, 2), "torch": Interval(0.5, 0.5, 0.5)})
    found = against(both, "fastest")
    assert found is not None and found.median == 0.5


def test_share_of_peak_takes_the_tighter_limit() -> None:
    assert share_of_peak(result(1.0, 1.0), Peaks({"float32": 1e10}, 1e10), "float32") == pytest.approx(0.2)
    assert share_of_peak(result(1.0, 1.0), Peaks({"float32": 1e10}, 2e9), "float32") == pytest.approx(0.5)
    assert share_of_peak(result(1.0, 1.0), Peaks(), "float32") is None


def test_geometric_mean() -> None:
    assert geometric_mean([0.5, 2.0]) == pytest.approx(1.0)
    assert geometric_mean([]) is None


def test_a_report_survives_json() -> None:
    before = a_report(result(1.0, 2.0), Result("gemv", "x", failure="it broke"))
    assert report.from_json(report.to_json(before)) == before


def test_markdown_has_every_case_and_the_means() -> None:
    text = report.to_markdown(a_report(result(1.0, 2.0)), SUITES)
    assert "| gemv | 4096×4096 | 1.00 s | numpy 2.00 s | 2.00 | 2.00–2.00 | 2.00 |" in text
    assert "| gemv | numpy | 0.9 | 2.00 | 2.00–2.00 | 2.00 | 1 of 1 | 2.00 |" in text


def test_the_summary_counts_cases_that_are_uncertain_alone_and_not_those_that_failed() -> None:
    certain, wide = result(1.0, 2.0), result(1.0, 8.0, 0.25)
    (mean,) = report.means(a_report(certain, wide, Result("gemv", "x", failure="it broke")), SUITES)
    assert against(wide, "numpy") is None
    assert mean.speed is not None and mean.speed.median == pytest.approx(4.0)
    assert (mean.least, mean.count, mean.total) == (2.0, 2, 3)


def test_no_speed_is_made_of_a_peer_whose_threads_shared_a_core() -> None:
    calm = result(1.0, 2.0)
    disturbed = dataclasses.replace(result(1.0, 200.0), best={"ours": 1.0, "numpy": 2.0})
    assert against(disturbed, "numpy") is None
    (mean,) = report.means(a_report(calm, disturbed), SUITES)
    assert mean.speed is None
    assert (mean.least, mean.shortest) == (2.0, 2.0)


def test_an_interrupted_bench_returns_what_it_has(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([{"device": "d", "place": "pocl"}, dataclasses.asdict(result(1.0, 2.0))])

    def ask(child: object, job: object) -> object:
        for answer in answers:
            return answer
        raise KeyboardInterrupt

    monkeypatch.setattr(run, "_ask", ask)
    found = run.bench([SUITES["gemv"]])
    assert [r.case for r in found.results] == ["4096×4096"] and found.place == "pocl" and not found.complete
    monkeypatch.setattr(importlib.import_module("portkernel.cli.bench"), "measure", lambda *args, **kwargs: found)
    ended = CliRunner().invoke(portkernel, ["bench", "--suite", "gemv"])
    assert ended.exit_code == 130 and "interrupted" in ended.output


def test_change_against_a_baseline() -> None:
    assert report.change(result(1.0, 2.0), result(3.0, 2.0)) == "3.00×"
    assert report.change(result(1.0, 2.0), None) == ""


def test_labels_are_unique_and_something_is_quick() -> None:
    for suite in SUITES.values():
        labels = [c.label for c in suite.cases]
        assert len(set(labels)) == len(labels)
        assert any(c.quick for c in suite.cases), suite.name


def test_a_dead_child_is_a_text(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(run, "WORKER_MODULE", "portkernel.no_such_module")
    suite = next(iter(SUITES.values()))
    found = run.bench([dataclasses.replace(suite, cases=suite.cases[:1])])
    assert "the process ended with status 1" in found.results[0].failure
    assert "no_such_module" in found.results[0].failure


def test_refuses_unknown_suites_and_foreign_baselines(tmp_path: Path) -> None:
    assert "got 'nothing'" in CliRunner().invoke(portkernel, ["bench", "--suite", "nothing"]).output
    other = tmp_path / "other.json"
    other.write_text("[]")
    assert "bench --json wrote" in CliRunner().invoke(portkernel, ["bench", "--baseline", str(other)]).output


def test_the_command_prints_writes_and_fails_with_a_case(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command = sys.modules["portkernel.cli.bench"]
    monkeypatch.setattr(
        command, "measure", lambda suites, **_: a_report(result(1.0, 2.0), Result("gemv", "x", failure="no"))
    )
    found = CliRunner().invoke(portkernel, ["bench", "--suite", "gemv", "--json", str(tmp_path / "a.json")])
    assert found.exit_code == 1 and "geometric mean 2.00 of numpy" in found.output
    assert report.from_json((tmp_path / "a.json").read_text()).results[1].failure == "no"


def test_a_picture_needs_matplotlib_or_draws(tmp_path: Path) -> None:
    from portkernel.bench import picture
    from portkernel.errors import MissingDependencyError

    try:
        picture.draw(a_report(result(1.0, 2.0)), SUITES, tmp_path / "a.svg")
    except MissingDependencyError as error:
        assert "portkernel[bench]" in str(error)
    else:
        assert (tmp_path / "a.svg").read_text().startswith("<?xml")
