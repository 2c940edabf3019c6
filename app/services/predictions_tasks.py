"""The worker's tasks behind the Predictions page: answers to the test images, and to one picture of the learner's."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

import numpy as np

from app.services import kept, tasks
from app.services.tasks import quickest_engine
from app.services.worker_process import Report
from cfcore.comparison import Answers, Comparison
from cfcore.config import Configuration
from cfcore.images import Images

SHAPE = (32, 32, 3)  # of a picture as a network takes it


@dataclass(frozen=True)
class Compared:
    """Two networks' answers to the first test images; `engine` computed the latter's."""

    comparison: Comparison
    engine: str


@dataclass(frozen=True)
class Compare:
    """Ask the float network, or the one `against`, and this one about the first 1,000 test images, then the others.

    What a network has answered is kept, a thousand images at a time, so that another configuration waits only for its
    own answers, and one that was stopped goes on.
    """

    configuration: Configuration
    folder: Path
    against: Configuration | None = None
    kind: str = field(default="predictions", compare=False)
    rank: ClassVar[int] = 1

    def run(self, report: Report) -> Compared:
        report(0.0, "loading")
        images = tasks.test_set(self.folder)
        before = self.against or self.configuration.float_reference
        compared = [(configuration, self.engine(configuration)) for configuration in (before, self.configuration)]
        answers: list[list[Answers]] = [[], []]
        parts = kept.parts(images)
        step = f"asking both networks about the first {len(parts[0]):,} test images"
        for i, (configuration, engine) in enumerate(compared):
            answers[i].append(kept.answers(configuration, self.folder, engine, 0, parts[0], report, step))
        step = f"asking both networks about all {len(images):,} test images"
        report(0.0, step, self._compared(images, answers))
        steps = len(compared) * (len(parts) - 1)
        for i, (configuration, engine) in enumerate(compared):
            for part in range(1, len(parts)):
                done = i * (len(parts) - 1) + part - 1
                span = done / steps, (done + 1) / steps
                answer = kept.answers(configuration, self.folder, engine, part, parts[part], report, step, span)
                answers[i].append(answer)
        return self._compared(images, answers)

    def engine(self, configuration: Configuration) -> str:
        """The quickest; between two networks that ship, the one that their accuracies were counted with."""
        from cfcore.evaluate import default_engine

        return default_engine(configuration) if self.against else quickest_engine(configuration)

    def _compared(self, images: Images, answers: list[list[Answers]]) -> Compared:
        before, after = (joined(parts) for parts in answers)
        return Compared(Comparison(images.labels[: len(before)], before, after), self.engine(self.configuration))


@dataclass(frozen=True)
class Classify:
    """Ask both networks, float first, about one picture of 32 × 32 pixels; float alone where that is the configuration.

    pixels  its 32·32·3 bytes, row by row, red, green, blue
    """

    configuration: Configuration
    folder: Path
    pixels: bytes = field(repr=False)
    kind: str = field(default="picture", compare=False)
    rank: ClassVar[int] = 0

    def run(self, report: Report) -> tuple[tuple[float, ...], ...]:
        from cfcore.evaluate import classify

        report(0.0, "asking both networks")
        picture = np.frombuffer(self.pixels, np.uint8).reshape(1, *SHAPE)
        compared = dict.fromkeys((self.configuration.float_reference, self.configuration))
        found = []
        for configuration in compared:
            network = kept.network(configuration, self.folder, report)
            found.append(tuple(classify(network, picture, quickest_engine(configuration))[0].tolist()))
        return tuple(found)


def joined(parts: list[Answers]) -> Answers:
    predictions = np.concatenate([part.predictions for part in parts])
    return Answers(predictions, np.concatenate([part.confidences for part in parts]))
