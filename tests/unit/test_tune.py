"""Measured sizes: the space, the store, the search, the command."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

import portkernel as pk
from portkernel import config, runtime, tune
from portkernel.cli.tune import tune as command
from portkernel.errors import ArgumentTypeError, SettingError
from portkernel.lang import Auto
from portkernel.runtime.choice import Request
from portkernel.targets import variant
from portkernel.tune import search, store
from portkernel.tune.child import difference
from portkernel.tune.space import VERSION, around
from portkernel.tune.store import Choice, Store, Trial, export, to_json
from portkernel.tune.summary import spreads


@pk.kernel
def double(x, out, B: pk.constexpr[int] = pk.auto(16, 64)):
    i = pk.program_id(0)
    pk.store(out, (i,), pk.load(x, (i,), (B,)) * 2)


@pk.kernel
def tells_its_size(out, B: pk.constexpr[int] = pk.auto(16, 64)):
    pk.store(out, (pk.program_id(0),), pk.full((B,), B, pk.float32))


@pk.kernel(configs=[pk.Config(B=32), pk.Config(B=64)], key=["factor"])
def scaled(x, out, factor, B: pk.constexpr[int]):
    i = pk.program_id(0)
    pk.store(out, (i,), pk.load(x, (i,), (B,)) * factor)


def grid(n: int):
    return lambda meta: (pk.cdiv(n, meta["B"]),)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "tuned"


def test_the_space_begins_at_the_centre_and_keeps_within_bounds():
    found = around({"M": 64, "N": 16}, {"M": Auto(16, 96), "N": Auto(16, 16)})
    assert found[0] == {"M": 64, "N": 16}
    assert sorted(c["M"] for c in found) == [16, 32, 48, 64, 96] and {c["N"] for c in found} == {16}
    assert around({}, {}) == [{}]


def test_the_search_follows_the_best_and_gives_up_in_the_end():
    queue = [Trial(0, sizes) for sizes in around({"M": 64, "N": 64}, {"M": Auto(16, 256), "N": Auto(16, 256)})]
    trials = [replace(queue[0], seconds=1e4)]
    while (trial := search._next(queue, trials)) is not None:
        trials.append(replace(trial, seconds=1.0 + abs(trial.sizes["M"] - 256) + abs(trial.sizes["N"] - 16)))
    assert min(trials, key=lambda t: t.seconds).sizes == {"M": 256, "N": 16}
    assert len(trials) < len(queue)


def test_every_configuration_is_tried_before_any_neighbour():
    queue = [Trial(0, {"M": 64}), Trial(0, {"M": 32}), Trial(1, {"M": 16}), Trial(1, {"M": 8})]
    trials: list[Trial] = []
    while (trial := search._next(queue, trials)) is not None:
        trials.append(replace(trial, seconds=trial.sizes["M"] / 8))
    assert [(t.config, t.sizes["M"]) for t in trials] == [(0, 64), (1, 16), (1, 8), (0, 32)]


def test_the_finalists_are_compared_in_turns(folder: Path):
    x = np.arange(3000, dtype=np.float32)
    out = np.empty_like(x)
    with config.override(tune="full", tune_dir=folder):
        double[grid(3000)](x, out)
    (choice,) = Store(folder).all()
    finalists = [t for t in choice.trials if t.typical is not None]
    assert 2 <= len(finalists) <= 4 and choice.analytic in finalists and choice.best in finalists
    assert choice.gain == choice.analytic.typical / choice.best.typical


def test_finalists_that_fail_leave_what_was_measured_alone(folder: Path, monkeypatch, caplog):
    job = search._Search._job
    monkeypatch.setattr(
        search._Search,
        "_job",
        lambda s, trials, *rest: job(s, trials, *rest) | ({"args": [{}]} if len(trials) > 1 else {}),
    )
    x = np.arange(3000, dtype=np.float32)
    out = np.empty_like(x)
    with config.override(tune="full", tune_dir=folder):
        double[grid(3000)](x, out)
    (choice,) = Store(folder).all()
    assert np.array_equal(out, 2 * x) and "the finalists were not compared: KeyError" in caplog.text
    assert choice.best.seconds is not None and choice.best.typical is None


def test_a_first_measurement_that_fails_does_not_end_a_search_that_went_further(folder: Path, monkeypatch):
    x = np.arange(3000, dtype=np.float32)
    with config.override(tune="budget:0.01s", tune_dir=folder):
        double[grid(3000)](x, np.empty_like(x))
    (known,) = Store(folder).all()
    monkeypatch.setattr(search._Search, "_measure", lambda s, trial, *rest, **more: replace(trial, reason="it broke"))
    with config.override(tune="full", tune_dir=folder):
        store._stores.clear()
        double[grid(3000)](x, np.empty_like(x))
    (later,) = Store(folder).all()
    assert not later.finished and later.trials == known.trials


def test_what_ships_is_measured_on_from_and_counted(folder: Path):
    x = np.arange(3000, dtype=np.float32)
    with config.override(tune="budget:0.01s", tune_dir=folder):
        double[grid(3000)](x, np.empty_like(x))
    (first,) = Store(folder).all()
    Store(folder).put(replace(first, tried=first.tried + 5))
    with config.override(tune="full", tune_dir=folder):
        store._stores.clear()
        double[grid(3000)](x, np.empty_like(x))
    (later,) = Store(folder).all()
    assert later.finished and later.tried == len(later.trials) + 5


def test_the_analytic_choice_stays_unless_another_is_clearly_better():
    def chosen(*typical: float | None) -> int:
        return search._chosen([Trial(0, {"B": i}, 1.0 - i / 10, "", t) for i, t in enumerate(typical)])

    assert chosen(1.0, None, 0.98) == 0
    assert chosen(1.0, None, 0.9) == 2
    assert chosen(None, None, None) == 2  # never compared: the shortest run
    assert search._chosen([Trial(0, {}, None, "refused")]) == 0


def test_a_choice_is_for_the_target_and_not_for_the_name_of_its_device(folder: Path):
    requests: list[Request] = []
    x = np.ones(100, np.float32)
    with config.override(tune="cached", tune_dir=folder), pytest.MonkeyPatch.context() as patch:
        patch.setattr(runtime.choice, "_loaders", [lambda: requests.append])
        double[grid(100)](x, np.empty_like(x))
    (request,) = requests
    key, facts = search._identity(request)
    assert "schedule cpu" in facts["target"] and f"units {request.target.units}" in facts["target"]
    for change in (
        {"vector_bytes": 128},
        {"dot_vector_bytes": 128},
        {"l2_bytes": 123},
        {"units": 77},
        {"schedule": "gpu"},
    ):
        other, said = search._identity(replace(request, target=variant(request.target, **change)))
        assert other != key and said["target"] != facts["target"]


def test_a_budget_measures_once_and_the_choice_is_found_again(folder: Path):
    x = np.arange(1000, dtype=np.float32)
    out = np.full_like(x, np.nan)
    seen: list[tuple[str, int, int]] = []
    with config.override(tune="full", tune_dir=folder), tune.watching(lambda *said: seen.append(said)):
        double[grid(1000)](x, out)
    np.testing.assert_array_equal(out, x * 2)
    (choice,) = Store(folder).all()
    assert choice.finished and len(choice.trials) == len(seen) == seen[-1][2] > 1
    assert choice.facts["kernel"] == "double" and choice.facts["dtypes"] == "x float32, out float32"
    assert choice.best.seconds is not None and all(16 <= t.sizes["B"] <= 64 for t in choice.trials)
    seen.clear()
    out.fill(np.nan)
    with config.override(tune="full", tune_dir=folder), tune.watching(lambda *said: seen.append(said)):
        double[grid(999)](x[:999], out[:999])  # another shape of the same class
    assert not seen and len(Store(folder).all()) == 1
    np.testing.assert_array_equal(out[:999], x[:999] * 2)


def test_a_stored_choice_is_what_the_launch_takes(folder: Path):
    metas: list[int] = []
    x = np.ones(5000, np.float32)
    out = np.empty_like(x)

    def watched(meta):
        metas.append(meta["B"])
        return (pk.cdiv(5000, meta["B"]),)

    with config.override(tune="budget:0.01s", tune_dir=folder):
        double[watched](x, out)
    (choice,) = Store(folder).all()
    other = Trial(0, {"B": 16}, 1e-9)
    store = tune.stored(folder)
    store.put(Choice(choice.key, choice.facts, (choice.analytic, other), 1, 9.0, True, 2))
    metas.clear()
    with config.override(
        tune="cached", tune_dir=folder, numpy_chunk_bytes=1 << 20
    ):  # settings that were not in force before
        double[watched](x, out)
    assert metas[-1] == 16
    metas.clear()
    double[watched](x, out)
    assert metas[-1] != 16  # off: the analytic choice


def test_cached_measures_nothing(folder: Path):
    x = np.ones(77, np.float32)
    out = np.empty_like(x)
    with config.override(tune="cached", tune_dir=folder):
        double[grid(77)](x, out)
    assert not folder.exists() and out[76] == 2


def test_a_candidate_that_computes_something_else_is_out(folder: Path):
    out = np.empty(4096, np.float32)
    with config.override(tune="full", tune_dir=folder):
        tells_its_size[grid(4096)](out)
    (choice,) = Store(folder).all()
    assert choice.chosen == 0
    assert all("differs from the first candidate's" in t.reason for t in choice.trials[1:])
    assert len(choice.trials) > 1 and (out == choice.analytic.sizes["B"]).all()


def test_a_crash_or_a_hang_costs_the_candidate_alone(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search, "_MODULE", "tests.unit.dying_child")
    x = np.ones(500, np.int32)
    out = np.empty_like(x)
    with config.override(tune="full", tune_dir=folder, compile_timeout=10.0):
        double[grid(500)](x, out)
    (choice,) = Store(folder).all()
    reasons = {t.sizes["B"]: t.reason for t in choice.trials}
    assert reasons[16] == "the process was killed by SIGABRT" and "did not finish within 10 s" in reasons[32]
    assert choice.best.reason == "" and choice.best.seconds is not None and (out == 2).all()


def test_where_the_analytic_choice_dies_nothing_else_is_tried(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(search, "_MODULE", "tests.unit.dying_child")
    x = np.ones(300, np.int32)
    out = np.empty_like(x)
    double[grid(300)](x, out)  # compiled here, so that the limit below is the child's alone
    with config.override(tune="full", tune_dir=folder, compile_timeout=10.0):
        double[grid(300)](x, out)
    (choice,) = Store(folder).all()
    assert [t.reason for t in choice.trials] == ["the process did not finish within 10 s"] and choice.chosen == 0
    assert (out == 2).all()  # here, where nothing is wrong with it


def test_configurations_and_the_scalars_that_their_key_names(folder: Path):
    x = np.ones(256, np.float32)
    out = np.empty_like(x)
    with config.override(tune="full", tune_dir=folder):
        for factor in (2.0, 3.0, 2.0):
            scaled[grid(256)](x, out, factor)
            assert (out == factor).all()
    found = Store(folder).all()
    assert [c.facts["scalars"] for c in found] == ["factor=2.0", "factor=3.0"]
    assert [t.config for t in found[0].trials] == [0, 1] and found[0].trials[0].sizes == {}


def test_a_grid_of_numbers_is_not_tuned(folder: Path):
    x = np.ones(64, np.float32)
    out = np.empty_like(x)
    with config.override(tune="full", tune_dir=folder):
        double[4](x, out)
    assert not folder.exists()


def test_what_was_interrupted_goes_on(folder: Path):
    x = np.ones(600, np.float64)
    out = np.empty_like(x)

    def stop(kernel: str, tried: int, candidates: int) -> None:
        if tried == 2:
            raise KeyboardInterrupt

    with (
        config.override(tune="full", tune_dir=folder),
        pytest.raises(KeyboardInterrupt),
        tune.watching(stop),
    ):
        double[grid(600)](x, out)
    (half,) = Store(folder).all()
    assert not half.finished and len(half.trials) == 2
    with config.override(tune="full", tune_dir=folder):
        double[grid(600)](x, out)
    (whole,) = Store(folder).all()
    assert whole.finished and len(whole.trials) > 2 and whole.spent > half.spent
    sizes = [t.sizes["B"] for t in whole.trials]
    assert len(set(sizes)) == len(sizes)


def test_damaged_and_foreign_files_are_no_choices(folder: Path, caplog: pytest.LogCaptureFixture):
    store = Store(folder)
    store.put(Choice("k", {"kernel": "k"}, (Trial(0, {"B": 1}, 1.0),), 0, 1.0, True, 1))
    assert Store(folder).get("k") is not None
    (folder / "k.json").write_text("{")
    assert Store(folder).get("k") is None and "damaged" in caplog.text
    (folder / "k.json").write_text(
        json.dumps(
            {"format": 2, "key": "k", "facts": {}, "trials": [], "chosen": 3, "spent": 0, "finished": True, "tried": 0}
        )
    )
    assert Store(folder).get("k") is None
    (folder / "k.json").write_text(to_json(Choice("k", {}, (Trial(0, {}, 1.0),), 0, 1.0, True, 1)))
    assert Store(folder).get("k") is not None
    os.chmod(folder, 0o777)
    assert Store(folder).get("k") is None


def test_what_counts_as_a_different_result():
    ones = np.ones(4, np.float32)
    assert (
        difference(ones, ones + np.float32(1e-6), pk.float32)
        <= 1
        < difference(ones, ones + np.float32(1e-3), pk.float32)
    )
    assert difference(ones.astype(int), ones.astype(int) + 1, pk.int64) == np.inf
    assert difference(np.array([np.nan]), np.array([1.0]), pk.float64) == np.inf
    assert difference(np.array([np.nan, np.inf]), np.array([np.nan, np.inf]), pk.float64) == 0


@pytest.mark.parametrize("value", ["on", "budget", "budget:", "budget:-1s", "FULL"])
def test_settings_that_mean_nothing_are_refused(value: str):
    with (
        pytest.raises(SettingError, match="PORTKERNEL_TUNE: expected off, cached, budget"),
        config.override(tune=value),
    ):
        pass


def test_budgets_are_seconds():
    for text, seconds in (("budget:5s", 5.0), ("budget:0.5", 0.5), ("full", None), ("cached", 0.0), ("off", 0.0)):
        with config.override(tune=text) as settings:
            assert settings.tune_seconds == seconds


def test_the_command_measures_lists_exports_and_clears(folder: Path, tmp_path: Path):
    run = CliRunner()
    with config.override(tune_dir=folder):
        found = run.invoke(command, ["--suite", "gemm-fp32", "--case", "12×128", "--budget", "0.1s"])
        assert found.exit_code == 0 and "1 new choices" in found.output and "matmul" in found.output
        assert "1 choices" in run.invoke(command, ["export", str(tmp_path / "x.json")]).output
        assert len(json.loads((tmp_path / "x.json").read_text())["choices"]) == 1
        listed = json.loads(run.invoke(command, ["list", "--json"]).output)
        assert listed[0]["facts"]["backend"] == "opencl" and listed[0]["trials"]
        assert "measured sizes" in run.invoke(command, ["list"]).output
        assert run.invoke(command, ["clear"]).output == "removed 1 choices\n"
        assert run.invoke(command, ["export", str(tmp_path / "y.json")]).exit_code == 1
        assert run.invoke(command, ["--suite", "nonsense"]).exit_code == 2
        assert run.invoke(command, ["--case", "nonsense"]).exit_code == 2


def test_nothing_is_exported_of_nothing():
    with pytest.raises(ArgumentTypeError, match=r"export\(\): choices: expected measurements, got none"):
        export([])


def kept(key: str, kernel: str, *times: float, target: str = "units 2") -> Choice:
    """A choice of which the last trial is the best."""
    facts = {
        "kernel": kernel, "shapes": "x 4", "dtypes": "x float32, out float32", "backend": "numpy", "device": "A CPU",
        "target": target, "compiler": "c 1", "space": "2",
    }  # fmt: skip
    trials = tuple(Trial(0, {"B": i + 1}, t, "", t) for i, t in enumerate(times))
    return Choice(key, facts, trials, len(times) - 1, 5.0, False, 7)


def test_how_far_the_analytic_choices_are():
    found = spreads([kept("a", "f", 2.0, 1.0), kept("b", "f", 1.1, 1.0), kept("c", "g", 1.0)])
    assert [(s.name, s.count, s.tried, s.near) for s in found] == [
        ("f float32", 2, 14, 1), ("g float32", 1, 7, 1), ("all", 3, 21, 2),
    ]  # fmt: skip
    assert found[0].median == pytest.approx(1.55) and found[0].worst == 2.0
    assert spreads([]) == spreads([replace(kept("d", "g", 1.0), tried=1)]) == []


def test_choices_ship_by_device_and_are_found_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    spec = importlib.util.spec_from_file_location(
        "write_tuning", Path(__file__).parents[2] / "tools" / "write_tuning.py"
    )
    assert spec is not None and spec.loader is not None
    write_tuning = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(write_tuning)
    folder, shipped = tmp_path / "tuned", tmp_path / "shipped"
    page = tmp_path / "tuning.md"
    page.write_text("before\n<!-- choices: begin -->\nold\n<!-- choices: end -->\nafter\n")
    monkeypatch.setattr(write_tuning, "SHIPPED", shipped)
    monkeypatch.setattr(write_tuning, "PAGE", page)
    for choice in (kept("a", "f", 2.0, 1.0), kept("b", "f", 3.0, 2.0, 1.0), kept("c", "f", 1.0, target="units 8")):
        Store(folder).put(choice)
    write_tuning.main(folder, "2026-01-02")
    assert len(list(shipped.glob("a-cpu-*.json"))) == 2  # one name, two targets
    text = page.read_text()
    assert "| f float32 | 2 | 14 | 2.50 | 3.00 | 0 of 2 |" in text and "2026-01-02" in text and "old" not in text
    monkeypatch.setattr(store, "_SHIPPED", shipped)
    store.shipped.cache_clear()
    try:
        found = Store(None).get("b")
        assert found is not None and found.best.sizes == {"B": 3} and len(found.trials) == 2 and found.tried == 7
        assert Store(None).get("z") is None and Store(None).own("b") is None
    finally:
        store.shipped.cache_clear()
    with pytest.raises(SystemExit, match="expected a folder that portkernel tune wrote"):
        write_tuning.main(tmp_path / "none", "")


def test_every_file_that_ships_can_be_read():
    assert all(choice.facts["space"] == str(VERSION) for choice in store.shipped().values())


def test_importing_the_package_reads_no_choices():
    code = "import sys, portkernel; sys.exit(any(m.startswith('portkernel.tune') for m in sys.modules))"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
