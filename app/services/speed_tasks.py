"""The worker's tasks that time a layer or a whole network against torch, on this machine."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from app.services.worker_process import Report
from cfcore.config import Configuration
from cfcore.timings import Benchmark


@dataclass(frozen=True)
class Timing:
    """Time one layer against torch, as `cfcore bench conv` does."""

    layer: str
    weight_bits: int
    activation_bits: int
    threads: int = 1
    kind: str = field(default="timing", compare=False)
    rank: ClassVar[int] = 0

    def run(self, report: Report) -> Benchmark:
        from cfcore.bench import bench_conv

        report(0.0, "compiling and checking the kernels")
        return bench_conv(
            self.layer,
            self.threads,
            self.weight_bits,
            self.activation_bits,
            progress=lambda done, total, _: report(done / total, f"round {done + 1} of {total}"),
        )


@dataclass(frozen=True)
class NetworkTiming:
    """Time a whole network against torch, as `cfcore bench network` does.

    folder  where its weights are looked for: a result without them is outdated as soon as they are there
    """

    configuration: Configuration
    folder: Path
    batch: int = 1
    threads: int = 1
    kind: str = field(default="timing", compare=False)
    rank: ClassVar[int] = 1

    def run(self, report: Report) -> Benchmark:
        from cfcore.bench import bench_network

        report(0.0, "loading the network, compiling and checking the kernels")
        return bench_network(
            self.configuration,
            self.batch,
            self.threads,
            progress=lambda done, total, _: report(done / total, f"round {done + 1} of {total}"),
            folder=self.folder,
        )
