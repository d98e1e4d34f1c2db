"""Worker processes: crashes and hangs cost one cell, batches share a process, an interruption ends everything."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from typing import Any

import pytest
from coverage_kit import step

from portkernel.coverage.model import Column, Errors, Outcome, Step
from portkernel.coverage.places import Found
from portkernel.coverage.pool import Batch, Pool
from portkernel.coverage.protocol import (
    decode_found,
    decode_outcome,
    decode_step,
    encode_found,
    encode_outcome,
    encode_step,
)
from portkernel.coverage.states import State
from portkernel.runtime import isolate
from portkernel.runtime.identity import Identity
from portkernel.runtime.isolate import Worker

pytestmark = pytest.mark.usefixtures("fake_worker")


def perform(batches: list[Batch], workers: int = 1, seconds: float = 1.0) -> dict[str, Outcome]:
    found: dict[str, Outcome] = {}
    Pool(batches, workers, seconds).run(lambda s, o: found.update({s.row: o}))
    return found


def piped(fields: dict[str, Any]) -> dict[str, Any]:
    return json.loads(json.dumps(fields))


def test_messages_survive_the_pipe() -> None:
    column = Column("triton/sm_90", "triton", "compiler", target="nvidia-h100", arch="sm_90")
    asked = Step("matmul[transposed]", "float16", column, "compile", 3, "operator", True)
    outcome = Outcome(State.DEGRADED, "because", Errors(0.5, 1e-3, float("inf"), 2.0, 1e-3, "a", 3), declared="float64",
                      executed="float32", launches={"k": 2}, uses=("dot",), seconds=1e-3, value=0.0)  # fmt: skip
    found = {"opencl": Found((Identity("pocl", "0", "a CPU", "3.0", "LLVM"),), "", "", "1")}
    assert decode_step(piped(encode_step(asked))) == asked
    assert decode_outcome(piped(encode_outcome(outcome))) == outcome
    assert decode_found(piped(encode_found(found))) == found


def test_a_crash_or_a_hang_costs_one_cell() -> None:
    start = time.monotonic()
    found = perform([Batch(tuple(step(row) for row in ("ok", "crash", "hang", "raise", "later")))])
    assert time.monotonic() - start < 30
    assert {row: o.state for row, o in found.items()} == {
        "ok": State.NATIVE, "crash": State.WRONG, "hang": State.WRONG, "raise": State.WRONG, "later": State.NATIVE,
    }  # fmt: skip
    assert found["crash"].reason == "the worker process was killed by SIGABRT: cannot go on"
    assert found["hang"].reason == "the worker process did not finish within 1 s: a compiler said this"
    assert found["raise"].reason == "ValueError: a defect"
    assert found["hang"].took >= 1.0


def test_batches_get_their_environment() -> None:
    batches = [Batch((step(f"k{i}"),), {"FAKE": "x"} if i % 2 else {}) for i in range(4)]
    found = perform(batches, workers=2, seconds=10)
    assert {row: o.how for row, o in found.items()} == {"k0": "", "k1": "x", "k2": "", "k3": "x"}


def test_who_shares_a_process() -> None:
    batches = [Batch((step("a"), step("b"))), Batch((step("c"),)), Batch((step("d"),), alone=True), Batch((step("e"),))]
    found = perform(batches, seconds=10)
    process = {row: o.reason for row, o in found.items()}
    assert process["a"] == process["b"] == process["c"]
    assert len({process["c"], process["d"], process["e"]}) == 3


def test_an_interruption_ends_the_workers_at_once() -> None:
    def interrupt(s: Step, o: Outcome) -> None:
        raise KeyboardInterrupt

    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        Pool([Batch((step("ok"),)), Batch((step("hang"),))], 2, 50).run(interrupt)
    assert time.monotonic() - start < 20


def test_an_interruption_ends_a_worker_that_is_just_starting(monkeypatch: pytest.MonkeyPatch) -> None:
    interrupted = threading.Event()
    started: list[Worker] = []

    class Late(Worker):
        def __init__(self, module: str, variables: Mapping[str, str]) -> None:
            if threading.current_thread() is not pool._threads[0]:
                assert interrupted.wait(20)
                time.sleep(0.2)
            super().__init__(module, variables)
            started.append(self)

    def interrupt(s: Step, o: Outcome) -> None:
        interrupted.set()
        raise KeyboardInterrupt

    monkeypatch.setattr(isolate, "Worker", Late)
    pool = Pool([Batch((step("ok"),)), Batch((step("hang"),)), Batch((step("later"),))], 2, 50)
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        pool.run(interrupt)
    assert time.monotonic() - start < 20
    # the first thread may have been between two steps, and have started a second worker, which ended too
    assert len(started) in (2, 3) and all(worker.process.poll() is not None for worker in started)
