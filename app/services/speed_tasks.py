"""The task of the kernel speed page that times a whole network; one layer is `tasks.Timing`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from cfcore.config import Configuration


@dataclass(frozen=True)
class NetworkTiming:
    """Time a whole network against torch. The result is the document that `cfcore bench network --json` prints."""

    configuration: Configuration
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
        )
        return result.to_dict()
