"""The worker's tasks that time a layer or a whole network against torch, on this machine."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from cfcore.config import Configuration


@dataclass(frozen=True)
class Timing:
    """Time one layer against torch. The result is the document that `cfcore bench conv --json` prints."""

    layer: str
    weight_bits: int
    activation_bits: int
    threads: int = 1
    kind: str = field(default="timing", compare=False)
    rank: ClassVar[int] = 0

    def run(self, report: Callable[..., None]) -> dict[str, Any]:
        from cfcore.bench import bench_conv

        report(0.0, "compiling and checking the kernels")
        result = bench_conv(
            self.layer,
            self.threads,
            self.weight_bits,
            self.activation_bits,
            progress=lambda done, total, _: report(done / total, f"round {done + 1} of {total}"),
        )
        return result.to_dict()


@dataclass(frozen=True)
class NetworkTiming:
    """Time a whole network against torch. The result is the document that `cfcore bench network --json` prints.

    folder  where its weights are looked for: a result without them is outdated as soon as they are there
    """

    configuration: Configuration
    folder: Path
    batch: int = 1
    threads: int = 1
    kind: str = field(default="timing", compare=False)
    rank: ClassVar[int] = 1

    def run(self, report: Callable[..., None]) -> dict[str, Any]:
        from cfcore.bench import bench_network

        report(0.0, "loading the network, compiling and checking the kernels")
        result = bench_network(
            self.configuration,
            self.batch,
            self.threads,
            progress=lambda done, total, _: report(done / total, f"round {done + 1} of {total}"),
            folder=self.folder,
        )
        return result.to_dict()
