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
from typing import Any

import numpy as np
import torch
from torch import Tensor

from cfcore.errors import Cancelled, bad_value
from cfcore.kernels import Threads
from cfcore.kernels.machine import port_bound, this_machine
from cfcore.timings import DISTURBED, Benchmark, Row

MAX_RUNS = 10_000
SAMPLE_SECONDS = 1e-3
SETTLE_SECONDS = 0.03  # OpenMP's threads go on spinning for a while, on the core of whoever comes next

Call = Callable[[], Any]
Progress = Callable[[int, int, str], None]
"""Called before each round with (rounds done, rounds in all, what is timed)."""


@dataclass(frozen=True)
class Contender:
    """A prepared call, and whether what it returned was right."""

    backend: str
    stage: str
    call: Call
    matches: bool


@dataclass(frozen=True)
class Case:
    """What one group of rows is about.

    prepare  the contenders, for these threads; remarks may be added to the list
    macs     multiply-accumulates of a call; of them bits can do `bit_macs`, in k_w·k_a one-bit ones each
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
    progress: Progress | None = None,
    cancelled: Callable[[], bool] | None = None,
) -> Benchmark:
    """Time every case. Each round times every contender once, one after the other, so that a slow spell of the machine
    hits all; a sample is the mean of as many calls as fill a millisecond, after one that is not counted.

    warm_up    compiles the packed kernels, or loads what an earlier run compiled
    cancelled  asked before each round; Cancelled is raised once it says yes

    Raises ConfigError.
    """
    whole("threads", threads, os.cpu_count() or 1)
    whole("runs", runs, MAX_RUNS)
    rows, bounds, notes = list[Row](), list[float](), _notes(threads)

    def before_round(case: int, n: int) -> None:
        if cancelled is not None and cancelled():
            raise Cancelled("The benchmark was stopped.")
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
    return Benchmark(this_machine(), *bits, threads, statistics.median(bounds), jit_s, tuple(rows), tuple(notes))


def _rounds(
    calls: list[Call], runs: int, before_round: Callable[[int], None], settle: float = 0.0
) -> list[list[float]]:
    """Rounds A B C, A B C, … with so many seconds of rest before each -> seconds a call, [contender][round]"""
    repeats = [math.ceil(SAMPLE_SECONDS / min(seconds(call, 1) for _ in range(5))) for call in calls]
    samples: list[list[float]] = [[] for _ in calls]
    for n in range(runs):
        before_round(n)
        for call, count, kept in zip(calls, repeats, samples, strict=True):
            time.sleep(settle)
            call()  # the contender before it has emptied the caches
            kept.append(seconds(call, count))
    return samples


def _rows(case: Case, contenders: list[Contender], samples: list[list[float]], threads: int, bound: float) -> list[Row]:
    """The records of a case: for each backend and stage its fastest contender."""
    best: dict[tuple[str, str], tuple[float, float, float, bool]] = {}
    for c, kept in zip(contenders, samples, strict=True):
        median, low, high = np.percentile(kept, (50, 10, 90)).tolist()
        slowest = (math.inf, 0.0, 0.0, False)
        best[c.backend, c.stage] = min(best.get((c.backend, c.stage), slowest), (median, low, high, c.matches))
    fp32, runs, rows = (
        min(t[0] for (backend, _), t in best.items() if backend == "torch-fp32"),
        len(samples[0]),
        list[Row](),
    )
    for (backend, stage), (median, low, high, matches) in best.items():
        gmacs = case.macs / median / 1e9
        share = gmacs / bound if (backend, stage) == ("packed", "product") else None
        times = (median, low, high, runs, gmacs, fp32 / median)
        rows.append(Row(case.name, case.batch, backend, stage, threads, *times, share, matches))
    return rows


def seconds(call: Call, count: int) -> float:
    """The mean of `count` calls."""
    started = time.perf_counter()
    for _ in range(count):
        call()
    return (time.perf_counter() - started) / count


def close(result: Tensor, exact: Tensor, tolerance: float) -> bool:
    """Whether the largest error is within `tolerance` of the largest result."""
    error, largest = (result.double() - exact).abs().max().item(), exact.abs().max().item()
    return result.shape == exact.shape and error <= tolerance * largest


def whole(name: str, value: object, top: int) -> None:
    """Refuse anything but 1..top."""
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= top:
        raise bad_value(name, value, f"a whole number from 1 to {top}", f"Choose {1 if value == 0 else top}.")


def _notes(threads: int) -> list[str]:
    notes = []
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0  # Windows tells no load
    cores, precision = os.cpu_count() or 1, torch.get_float32_matmul_precision()
    if busy + threads > cores + 0.5:
        notes.append(f"{DISTURBED} (load {busy:.1f} on {cores} cores): times are too long, ratios unsure.")
    if precision != "highest":
        notes.append(f"torch may compute fp32 with less precision here: its matmul precision is {precision}.")
    return notes
