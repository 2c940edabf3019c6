"""The tasks of the worker process. What they need of cfcore is loaded there: here would be in the server."""

from __future__ import annotations

import functools
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from app.services import jobs, kept
from app.services.worker_process import Report
from cfcore import manifest
from cfcore.checkpoint import Checkpoint
from cfcore.config import Configuration
from cfcore.images import Images, load_test_set

REFERENCE = "reference"  # kind of a task that only compares
FEW_PLANES = 4  # k_w·k_a up to which counting bits is faster than float arithmetic


@dataclass(frozen=True)
class Counted:
    """A network quantized now, and how many of the first `images` test images it gets right."""

    checkpoint: Checkpoint
    correct: int
    images: int
    engine: str

    @property
    def accuracy(self) -> float:
        """Top-1 in %"""
        return 100 * self.correct / self.images


@dataclass(frozen=True)
class PostTraining:
    """Quantize the float network without training; count on the first 1,000 test images, then on all.

    What was done is kept, so that one that made way goes on.
    """

    configuration: Configuration
    folder: Path
    kind: str = field(default="post-training", compare=False)

    @property
    def rank(self) -> int:
        return jobs.WHOLE_RESULT if self.kind == REFERENCE else 1

    def run(self, report: Report) -> Counted:
        report(0.0, "loading")
        network = kept.network(self.configuration, self.folder, report)
        engine = quickest_engine(self.configuration)
        images = test_set(self.folder)
        first, *others = kept.parts(images)
        step = f"counting on the first {len(first):,} test images"
        correct = self._correct(0, first, engine, report, step, (0.0, 1.0))
        step = f"counting on all {len(images):,} test images"
        report(0.0, step, Counted(network, correct, len(first), engine))
        for done, part in enumerate(others):
            span = done / len(others), (done + 1) / len(others)
            correct += self._correct(done + 1, part, engine, report, step, span)
        return Counted(network, correct, len(images), engine)

    def _correct(
        self, part: int, images: Images, engine: str, report: Report, step: str, span: tuple[float, float]
    ) -> int:
        answers = kept.answers(self.configuration, self.folder, engine, part, images, report, step, span)
        return int((answers.predictions == images.labels).sum())


@dataclass(frozen=True)
class Readiness:
    """Load what every task needs, so that the first does not wait for it."""

    folder: Path
    kind: str = field(default="readiness", compare=False)
    rank: ClassVar[int] = 0

    def run(self, report: Report) -> None:
        import cfcore.evaluate  # noqa: F401

        test_set(self.folder)


def warm_up(place: Path) -> None:
    """Have the worker ready before anybody asks, and let it forget networks that are no longer those of `place`.

    Once, even where it fails: the task that needs it will say why.
    """
    jobs.worker().renew(place, manifest.changed(place))
    if jobs.worker().look(Readiness(place), "server") is None:
        jobs.worker().request(Readiness(place), "server", lasting=True)


def quickest_engine(configuration: Configuration) -> str:
    """What runs a network soonest: with many bits, float arithmetic on the quantized values."""
    planes = configuration.weight_bits * configuration.activation_bits
    return "packed" if configuration.method == "xnor" and planes <= FEW_PLANES else "simulated"


@functools.lru_cache(maxsize=1)
def test_set(folder: Path) -> Images:
    """The worker's one copy."""
    return load_test_set(folder)
