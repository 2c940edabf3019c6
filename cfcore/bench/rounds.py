"""The one way in which everything is timed: contenders in turns, round after round, each first checked."""

from __future__ import annotations

import math
import os
import statistics
import time
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfcore.config import check_whole
from cfcore.kernels import Threads
from cfcore.kernels.machine import port_bound, this_machine
from cfcore.timings import DISTURBED, Benchmark, Row, core_count

MAX_RUNS = 10_000
SAMPLE_SECONDS = 1e-3
SLICE_SECONDS = 4e-3  # about as long as a busy system lets a program run
TOLERATED_CORES = 0.2  # of other programs
STATISTICS = Path("/proc/stat")
SETTLE_SECONDS = 0.03  # OpenMP's threads go on spinning for a while, on the core of whoever comes next

Call = Callable[[], Any]
Rounds = Callable[[int, int, str], None]
"""Called before each round with (rounds done, rounds in all, what is timed)."""


@dataclass(frozen=True)
class Contender:
    """A prepared call, and whether what it returned was right.

    stages  what it is an answer to: more than one where the same call is
    """

    backend: str
    stages: tuple[str, ...]
    call: Call
    matches: bool


@dataclass(frozen=True)
class Case:
    """What one group of rows is about.

    macs     multiply-accumulates of a call
    prepare  the contenders, for these threads; remarks may be added to the list
    """

    name: str
    batch: int
    macs: int
    prepare: Callable[[Threads, list[str]], list[Contender]]


def run_cases(
    cases: list[Case],
    bits: tuple[int, int],
    threads: int,
    runs: int,
    warm_up: Call,
    progress: Rounds | None = None,
) -> Benchmark:
    """Time every case. Each round times every contender once, one after the other, so that a slow spell of the machine
    hits all; a sample is the mean of as many calls as fill a millisecond, or last as long as the slowest contender's
    call, up to four, after one that is not counted: equally long samples suffer equally from other programs.

    warm_up   compiles the packed kernels, or loads what an earlier run compiled
    progress  called before each round, with those done, all of them and the case's name

    Raises ConfigError.
    """
    check_whole("threads", threads, core_count())
    check_whole("runs", runs, MAX_RUNS)
    rows, bounds, notes, others = list[Row](), list[float](), list[str](), _Others()
    if (precision := torch.get_float32_matmul_precision()) != "highest":
        notes.append(f"torch may compute fp32 with less precision here: its matmul precision is {precision}.")

    def before_round(case: int, n: int) -> None:
        if progress is not None:
            progress(case * runs + n, len(cases) * runs, cases[case].name)
        bounds.append(port_bound(SAMPLE_SECONDS))

    torch_threads = torch.get_num_threads()
    torch.set_num_threads(threads)  # noqa: TID251 - for the length of the benchmark, in a process that does nothing else
    try:
        with Threads(threads) as pool, torch.inference_mode(), warnings.catch_warnings():
            warnings.filterwarnings("ignore", "torch.quantize_per_tensor", UserWarning)  # leaves torch some day
            warnings.filterwarnings("ignore", "`torch.jit", DeprecationWarning)  # so does this
            warnings.simplefilter("ignore", torch.jit.TracerWarning)  # type: ignore[attr-defined]
            jit_s = seconds(warm_up, 1)
            for i, case in enumerate(cases):
                contenders = case.prepare(pool, notes)
                settle = SETTLE_SECONDS if threads > 1 else 0.0
                samples = _rounds([c.call for c in contenders], runs, partial(before_round, i), settle)
                bound = statistics.median(bounds[-runs:]) * threads / (bits[0] * bits[1])
                rows += _rows(case, contenders, samples, threads, bound)
    finally:
        torch.set_num_threads(torch_threads)  # noqa: TID251
    if (cores := others.cores()) > TOLERATED_CORES:
        notes.append(f"{DISTURBED} (on {cores:.1f} cores): times are too long, ratios unsure.")
    return Benchmark(this_machine(), *bits, threads, statistics.median(bounds), jit_s, tuple(rows), tuple(notes))


def _rounds(
    calls: list[Call], runs: int, before_round: Callable[[int], None], settle: float = 0.0
) -> list[list[float]]:
    """Rounds A B C, A B C, … -> seconds a call, [contender][round]

    settle  seconds of rest, and then of warming up, before each
    """
    once = [min(seconds(call, 1) for _ in range(5)) for call in calls]
    sample = min(max(SAMPLE_SECONDS, *once), SLICE_SECONDS)
    repeats = [math.ceil(sample / each) for each in once]
    samples: list[list[float]] = [[] for _ in calls]
    for n in range(runs):
        before_round(n)
        for call, count, kept in zip(calls, repeats, samples, strict=True):
            time.sleep(settle)
            warm = time.perf_counter() + settle
            call()  # the contender before it has emptied the caches
            while time.perf_counter() < warm:  # and threads that slept begin on one core
                call()
            kept.append(seconds(call, count))
    return samples


def _rows(case: Case, contenders: list[Contender], samples: list[list[float]], threads: int, bound: float) -> list[Row]:
    """The records of a case: for each backend and stage its fastest contender, of those that were right if any was."""
    best: dict[tuple[str, str], tuple[bool, float, float, float]] = {}
    for c, kept in zip(contenders, samples, strict=True):
        found = (not c.matches, *np.percentile(kept, (50, 10, 90)).tolist())
        for stage in c.stages:
            best[c.backend, stage] = min(best.get((c.backend, stage), found), found)
    fp32 = next(times[1] for (backend, _), times in best.items() if backend == "torch-fp32")
    runs, rows = len(samples[0]), list[Row]()
    for (backend, stage), (wrong, median, low, high) in best.items():
        gmacs = case.macs / median / 1e9
        share = gmacs / bound if (backend, stage) == ("packed", "product") else None
        times = (median, low, high, runs, gmacs, fp32 / median)
        rows.append(Row(case.name, case.batch, backend, stage, threads, *times, share, not wrong))
    return rows


def seconds(call: Call, count: int) -> float:
    """The mean of `count` calls."""
    started = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - started) / count


def close(result: Tensor, exact: Tensor, tolerance: float) -> bool:
    """Whether the largest error is within `tolerance` of the largest result."""
    if result.shape != exact.shape:
        return False
    error, largest = (result.double() - exact).abs().max().item(), exact.abs().max().item()
    return error <= tolerance * largest


class _Others:
    """How much processor time others have taken since it was made; as far as the system tells (Linux)."""

    def __init__(self) -> None:
        self.started = self._now()

    def cores(self) -> float:
        """Processor seconds of others over seconds passed."""
        passed, busy, own = (now - then for now, then in zip(self._now(), self.started, strict=True))
        return max(0.0, busy - own) / passed

    @staticmethod
    def _now() -> tuple[float, float, float]:
        """Seconds passed, processor seconds of everybody, and of this process."""
        everybody = time.process_time()
        if STATISTICS.exists():
            user, nice, system, _, _, interrupts, soft, stolen = map(int, STATISTICS.read_text().split()[1:9])
            everybody = (user + nice + system + interrupts + soft + stolen) / os.sysconf("SC_CLK_TCK")
        return time.perf_counter(), everybody, time.process_time()
