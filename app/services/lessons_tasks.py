"""The worker's task of the lesson on quantizing without training: the same images for every number of bits."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

from app.services import kept
from app.services.tasks import test_set
from app.services.worker_process import Report
from cfcore.config import FLOAT_BITS, Configuration
from cfcore.errors import NotShippedError

BITS = (1, 2, 4)
IMAGES = kept.PART  # the first of the test set: enough to see it, and soon done


@dataclass(frozen=True)
class Counted:
    """Of the first `images` test images a network gets `correct` right."""

    configuration: Configuration
    correct: int
    images: int

    @property
    def accuracy(self) -> float:
        """Top-1 in %"""
        return 100 * self.correct / self.images


@dataclass(frozen=True)
class Survival:
    """Quantize the float network without training, to every number of bits in turn, and count; then count float, and
    one bit trained where that ships.
    """

    model: str
    folder: Path
    kind: str = field(default="survival", compare=False)
    rank: ClassVar[int] = 1

    @property
    def one_bit(self) -> Configuration:
        """One bit per weight and nothing trained, a factor for each filter."""
        return Configuration.of(model=self.model, method="binary-weight", group_size=1, source="post-training")

    @property
    def networks(self) -> tuple[Configuration, ...]:
        """In the order of counting; the first answers the question."""
        rounded = (replace(self.one_bit, weight_bits=bits) for bits in BITS)
        return *rounded, self.one_bit.float_reference, replace(self.one_bit, source="trained")

    def run(self, report: Report) -> tuple[Counted, ...]:
        report(0.0, "loading")
        images = kept.parts(test_set(self.folder))[0]
        found: tuple[Counted, ...] = ()
        for done, configuration in enumerate(self.networks):
            span, step = (done / len(self.networks), (done + 1) / len(self.networks)), _step(configuration)
            report(span[0], step, found or None)
            try:
                answers = kept.answers(configuration, self.folder, "simulated", 0, images, report, step, span)
            except NotShippedError:
                if configuration.source == "post-training":
                    raise
                continue  # not trained: there is less to compare with
            found = (*found, Counted(configuration, int((answers.predictions == images.labels).sum()), len(images)))
        return found


def _step(configuration: Configuration) -> str:
    """What is done, for the bar."""
    bits = configuration.weight_bits
    which = "float" if bits == FLOAT_BITS else "1 bit" if bits == 1 else f"{bits} bits"
    return f"{which}: counting on {IMAGES:,} test images"
