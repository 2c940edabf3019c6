"""The worker's task for the scaling factors: above one bit each is searched, with torch."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from app.services.worker_process import Report
from cfcore.config import Configuration

if TYPE_CHECKING:
    from cfcore.sharing import Factors


@dataclass(frozen=True)
class Search:
    """Fit the factors of every layer to its latent weights, for each filter alone and for its groups in both orders.

    stamps  when the files that matter were last changed
    """

    configuration: Configuration
    folder: Path
    stamps: tuple[int, ...]
    kind: str = field(default="factors", compare=False)
    rank: ClassVar[int] = 0

    def run(self, report: Report) -> Factors:
        from cfcore.sharing import factors

        step = "searching the best factors, layer by layer"
        return factors(self.configuration, self.folder, lambda share: report(share, step))
