"""The vocabulary: suites of cases, and what was measured of them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

Run = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Contest:
    """One computation, ready to run by us and by its peers on the same inputs, each into an output of its own.

    ``flops`` and ``bytes`` are what the computation needs at least: each input read once, each output written once.
    ``error`` compares our output with the first peer's, as a multiple of what is allowed; at most 1 passes.
    """

    ours: Run
    peers: Mapping[str, Run]
    bytes: float
    flops: float = 0.0
    error: Callable[[], float] | None = None


@dataclass(frozen=True, slots=True)
class Case:
    """``make(device)`` allocates everything; ``quick`` cases are those that ``--quick`` keeps."""

    label: str
    make: Callable[[str | None], Contest]
    quick: bool = False


Peer = Literal["numpy", "torch", "fastest", "clblast", "fp32"]


@dataclass(frozen=True, slots=True)
class Suite:
    """Cases that share a peer. ``dtype`` is the one whose peak counts.

    ``bars`` are the geometric means of speeds wanted, by the place that :mod:`portkernel.runtime.identity` names; a suite
    without one only reports.
    """

    name: str
    title: str
    peer: Peer
    bars: Mapping[str, float]
    cases: tuple[Case, ...]
    dtype: str = "float32"


@dataclass(frozen=True, slots=True)
class Interval:
    """A median with its 95 % confidence interval."""

    median: float
    low: float
    high: float

    @property
    def spread(self) -> float:
        """The interval's width as a part of the median."""
        return (self.high - self.low) / self.median if self.median else math.inf


SPREAD_LIMIT = 0.4
"""A ratio whose interval is wider than this part of it is not printed."""

DISTURBED = 3.0
"""A contestant that usually takes so many times its shortest run lacked a core or waited for a thread that did."""


@dataclass(frozen=True, slots=True)
class Result:
    """One case, measured: seconds by contestant, speed against each peer (above 1 we are faster), or why there is none."""

    suite: str
    case: str
    seconds: Mapping[str, Interval] = field(default_factory=dict)
    best: Mapping[str, float] = field(default_factory=dict)
    """The shortest run of each contestant."""
    speed: Mapping[str, Interval] = field(default_factory=dict)
    rounds: int = 0
    flops: float = 0.0
    bytes: float = 0.0
    error: float | None = None
    failure: str = ""


@dataclass(frozen=True, slots=True)
class Peaks:
    """What simple kernels of ours reach on the device: FLOP/s by dtype, and bytes a second of a large copy."""

    flops: Mapping[str, float] = field(default_factory=dict)
    bandwidth: float = 0.0


def share_of_peak(result: Result, peaks: Peaks, dtype: str) -> float | None:
    """The least time that the peaks allow as a part of the time taken; None if that is not known."""
    ours = result.seconds.get("ours")
    flops = peaks.flops.get(dtype, 0.0)
    if ours is None or not ours.median or not peaks.bandwidth:
        return None
    floor = result.bytes / peaks.bandwidth
    if flops:
        floor = max(floor, result.flops / flops)
    return floor / ours.median


def compared(result: Result, peer: str) -> Interval | None:
    """Our speed against the suite's peer, however uncertain: the worst of them where that is the fastest one."""
    name = _rival(result, peer)
    return None if name is None else result.speed[name]


def _rival(result: Result, peer: str) -> str | None:
    found = [name for name in result.speed if peer in (name, "fastest")]
    return min(found, key=lambda name: result.speed[name].median) if found else None


def is_disturbed(result: Result, peer: str) -> bool:
    """Whether we or the suite's peer usually took so much longer than the shortest run that the speed says nothing."""
    names = [name for name in ("ours", _rival(result, peer)) if name is not None and name in result.seconds]
    return any(result.seconds[name].median > DISTURBED * result.best[name] for name in names)


def against(result: Result, peer: str) -> Interval | None:
    """As :func:`compared`; None if it is too uncertain to be quoted alone, or one of the two was disturbed."""
    found = compared(result, peer)
    return found if found is not None and found.spread <= SPREAD_LIMIT and not is_disturbed(result, peer) else None


def mean_speed(speeds: Sequence[Interval]) -> Interval | None:
    """The geometric mean of speeds of independent cases, with its interval; None if there is none, or it is too uncertain.

    Half-widths of logarithms add up as roots of squares do: a mean over many cases is more certain than each of them, so
    that no case has to be left out.
    """
    median = geometric_mean([v.median for v in speeds])
    if median is None or any(v.low <= 0 for v in speeds):
        return None
    half = math.sqrt(sum((math.log(v.high / v.low) / 2) ** 2 for v in speeds)) / len(speeds)
    found = Interval(median, median * math.exp(-half), median * math.exp(half))
    return found if found.spread <= SPREAD_LIMIT else None


def geometric_mean(values: Sequence[float]) -> float | None:
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None
