"""ResNet-50 or BERT-base under MLCommons' load generator, through ``torch.compile(backend="portkernel")``.

    pip install "portkernel[examples]"
    python examples/loadgen.py --model resnet50 --scenario Offline --seconds 10

The load generator issues queries as MLPerf Inference does. What it reports here is **not an MLPerf result**: weights and
inputs are random numbers, the run is far shorter than the rules ask for, and accuracy is not measured.
"""

from __future__ import annotations

import argparse
import os
import queue
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import bert_base
import resnet50
import torch

import portkernel as pk

os.environ.setdefault("HF_HUB_OFFLINE", "1")
NOTICE = "Not an MLPerf result: random weights and inputs, a short run, no accuracy measured."
MODELS = ("resnet50", "bert")
SCENARIOS = ("Offline", "SingleStream")
SAMPLES = 16
"""How many inputs there are; queries repeat them."""
FIGURES = {"Offline": "Samples per second", "SingleStream": "90.0th percentile latency (ns)"}
"""What MLPerf counts in each scenario, in the words of the log."""


@dataclass(frozen=True)
class Subject:
    """What is measured: ``run`` computes the batch of the inputs with the given numbers."""

    run: Callable[[Sequence[int]], torch.Tensor]
    batch: int
    """The largest batch; Offline's queries are cut into such, and padded to one."""


def resnet_subject(model: torch.nn.Module, batch: int, size: int = 224) -> Subject:
    images = torch.randn(SAMPLES, 3, size, size, generator=torch.Generator().manual_seed(1))
    ours = resnet50.compiled(resnet50.forward(model.eval()))
    return Subject(lambda chosen: ours(images[list(chosen)]), batch)


def bert_subject(model: torch.nn.Module, batch: int, length: int = 128) -> Subject:
    words = bert_base.tokens(SAMPLES, length)
    ours = torch.compile(model, backend="portkernel", dynamic=False, options={"strict": True})

    def run(chosen: Sequence[int]) -> torch.Tensor:
        found: torch.Tensor = ours(**{name: t[list(chosen)] for name, t in words.items()}).last_hidden_state
        return found

    return Subject(run, batch)


class Server:
    """A thread that answers queries, one batch after the other, on our operators alone."""

    def __init__(self, subject: Subject, backend: str) -> None:
        self.subject, self.backend = subject, backend
        self.waiting: queue.SimpleQueue[Sequence[tuple[int, int]] | None] = queue.SimpleQueue()
        self.failure: BaseException | None = None
        self.rate = 0.0
        """Samples per second of the last run before the load generator's."""
        self.ready = threading.Event()
        self.thread = threading.Thread(target=self._serve)

    def issue(self, samples: Sequence[object]) -> None:
        """What the load generator calls: it returns at once."""
        pairs = [(s.id, s.index) for s in samples]  # type: ignore[attr-defined]  # the load generator's own class
        for start in range(0, len(pairs), self.subject.batch):
            self.waiting.put(pairs[start : start + self.subject.batch])

    def _serve(self) -> None:
        import mlperf_loadgen

        with torch.no_grad(), pk.use(backend=self.backend, strict=True):
            try:
                for _ in range(4):  # compiles; from the third on the launches alone are repeated
                    start = time.perf_counter()
                    self.subject.run([0] * self.subject.batch)
                    self.rate = self.subject.batch / (time.perf_counter() - start)
            except BaseException as error:
                self.failure = error
            self.ready.set()
            while (pairs := self.waiting.get()) is not None:
                try:
                    if self.failure is None:
                        indices = [index for _, index in pairs]
                        self.subject.run(indices + [0] * (self.subject.batch - len(indices)))
                except BaseException as error:
                    self.failure = error
                # also after a failure: the load generator waits for every answer
                mlperf_loadgen.QuerySamplesComplete(
                    [mlperf_loadgen.QuerySampleResponse(number, 0, 0) for number, _ in pairs]
                )

    def __enter__(self) -> Server:
        self.thread.start()
        self.ready.wait()
        return self

    def __exit__(self, *_: object) -> None:
        self.waiting.put(None)
        self.thread.join()


def measure(subject: Subject, scenario: str, backend: str, seconds: float) -> dict[str, str]:
    """The load generator's summary of one run of about ``seconds``. Raises what the model raised."""
    with tempfile.TemporaryDirectory() as folder, Server(subject, backend) as server:
        if server.failure is None:
            _generate(server, scenario, seconds, folder)
        if server.failure is not None:
            raise server.failure
        return summary(Path(folder, "mlperf_log_summary.txt").read_text())


def _generate(server: Server, scenario: str, seconds: float, folder: str) -> None:
    """One run of the load generator, its logs in ``folder``."""
    import mlperf_loadgen

    settings = mlperf_loadgen.TestSettings()
    settings.scenario = getattr(mlperf_loadgen.TestScenario, scenario)
    settings.mode = mlperf_loadgen.TestMode.PerformanceOnly
    settings.min_duration_ms = int(seconds * 1000)
    settings.min_query_count = 1
    settings.offline_expected_qps = server.rate  # the one query holds what this takes seconds for
    settings.single_stream_expected_latency_ns = int(1e9 / server.rate)
    logs = mlperf_loadgen.LogSettings()
    logs.log_output.outdir = folder
    logs.log_output.copy_summary_to_stdout = False
    logs.enable_trace = False
    subject = mlperf_loadgen.ConstructSUT(server.issue, lambda: None)
    library = mlperf_loadgen.ConstructQSL(SAMPLES, SAMPLES, lambda _: None, lambda _: None)
    try:
        mlperf_loadgen.StartTestWithLogSettings(subject, library, settings, logs)
    finally:
        mlperf_loadgen.DestroyQSL(library)
        mlperf_loadgen.DestroySUT(subject)


def summary(text: str) -> dict[str, str]:
    """The ``name : value`` lines of a summary."""
    pairs = (line.split(":", 1) for line in text.splitlines() if ": " in line)
    return {name.strip(): value.strip() for name, value in pairs}


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", choices=MODELS, default="resnet50")
    parser.add_argument("--scenario", choices=SCENARIOS, default="Offline")
    parser.add_argument("--backend", default="opencl")
    parser.add_argument("--batch", type=int, help="8 for Offline, 1 for SingleStream by default")
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args(arguments)
    batch = given.batch or (8 if given.scenario == "Offline" else 1)
    if given.model == "bert":
        subject = bert_subject(bert_base.make(), batch)
    else:
        subject = resnet_subject(resnet50.make(), batch)
    found = measure(subject, given.scenario, given.backend, given.seconds)
    print(f"{given.model}, {given.scenario}, batch {batch}, {given.backend}")
    for name in (FIGURES[given.scenario], "Mean latency (ns)"):
        print(f"  {name}: {found.get(name, 'not reported')}")
    print(NOTICE)


if __name__ == "__main__":
    main()
