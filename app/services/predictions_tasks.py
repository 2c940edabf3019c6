"""The worker's tasks behind the Predictions page: answers to the test images, and to one picture of the learner's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from app.services import tasks
from app.services.tasks import FIRST_IMAGES, quickest_engine
from cfcore.config import Configuration

if TYPE_CHECKING:
    from cfcore.checkpoint import Checkpoint
    from cfcore.comparison import Answers, Comparison
    from cfcore.data import Images

Report = Callable[..., None]
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
        parts = [images_from(images, start) for start in range(0, len(images), FIRST_IMAGES)]
        first = f"asking both networks about the first {len(parts[0]):,} test images"
        for i, (configuration, engine) in enumerate(compared):
            answers[i].append(_answers(configuration, self.folder, engine, 0, parts[0], report, first))
        report(0.0, first, self._compared(images, answers))
        steps = len(compared) * (len(parts) - 1)
        for i, (configuration, engine) in enumerate(compared):
            for part in range(1, len(parts)):
                done = (i * (len(parts) - 1) + part - 1) / steps
                report(done, f"asking both networks about all {len(images):,} test images")
                answers[i].append(_answers(configuration, self.folder, engine, part, parts[part], report))
        return self._compared(images, answers)

    def engine(self, configuration: Configuration) -> str:
        """The quickest; between two networks that ship, the one that their accuracies were counted with."""
        from cfcore.evaluate import default_engine

        return default_engine(configuration) if self.against else quickest_engine(configuration)

    def _compared(self, images: Images, answers: list[list[Answers]]) -> Compared:
        from cfcore.comparison import Comparison

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
        import numpy as np

        from cfcore.evaluate import classify

        report(0.0, "asking both networks")
        picture = np.frombuffer(self.pixels, np.uint8).reshape(1, *SHAPE)
        compared = dict.fromkeys((self.configuration.float_reference, self.configuration))
        found = []
        for configuration in compared:
            network = _network(configuration, self.folder, report)
            found.append(tuple(classify(network, picture, quickest_engine(configuration))[0].tolist()))
        return tuple(found)


def images_from(images: Images, start: int) -> Images:
    """A thousand images, or as many as there are."""
    end = start + FIRST_IMAGES
    return type(images)(images.pixels[start:end], images.labels[start:end])


def joined(parts: list[Answers]) -> Answers:
    import numpy as np

    from cfcore.comparison import Answers

    predictions = np.concatenate([part.predictions for part in parts])
    return Answers(predictions, np.concatenate([part.confidences for part in parts]))


# ---- what the worker process keeps


class Kept:
    """The few results that were wanted last."""

    def __init__(self, most: int) -> None:
        self.most, self.values = most, OrderedDict[Any, Any]()

    def get(self, key: Any, make: Callable[[], Any]) -> Any:
        if key not in self.values:
            self.values[key] = make()
        self.values.move_to_end(key)
        while len(self.values) > self.most:
            self.values.popitem(last=False)
        return self.values[key]


NETWORKS = Kept(4)  # some MB each
ANSWERS = Kept(200)  # 12 kB each: of 20 networks


def _network(configuration: Configuration, folder: Path, report: Report) -> Checkpoint:
    from cfcore.evaluate import obtain

    def progress(share: float) -> bool:
        report(share, tasks.QUANTIZING)
        return True

    return NETWORKS.get((configuration, folder), lambda: obtain(configuration, folder, progress))


def _answers(
    configuration: Configuration, folder: Path, engine: str, part: int, images: Images, report: Report, step: str = ""
) -> Answers:
    from cfcore.evaluate import evaluate

    def progress(share: float) -> bool:
        if step:
            report(share, step)
        return True

    def ask() -> Answers:
        network = _network(configuration, folder, report)
        return evaluate(network, images, engine, progress).answers

    return ANSWERS.get((configuration, folder, engine, part), ask)
