"""A training run: what it trains, how, where its state is kept, and what it starts from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from filelock import FileLock

from cfcore import runfiles, train
from cfcore.config import Configuration, Recipe
from cfcore.errors import CheckpointError, bad_value
from cfcore.images import Images
from cfcore.manifest import PRETRAINED
from cfcore.models import Network
from cfcore.options import spelled
from cfcore.starts import find_start


def run_folder(runs: Path, name: str) -> Path:
    """The folder of a run. Raises ConfigError for a name that is not that of one folder."""
    if not re.fullmatch(r"\w[\w.+-]{0,99}", name):
        raise bad_value("run", name, "up to 100 letters, digits, dots, dashes and underscores", "Choose another name.")
    return runs / name


@dataclass(frozen=True)
class Run:
    """One network to train. Runs stand side by side in one folder, each in a folder of its own name.

    name     that of the network if left out, with the seed where it is not 0
    start    name of the run whose weights it begins with
    teacher  name of the float run whose outputs it learns from too, as much as the recipe's `distill` says
    plan     the plan of the grid that it belongs to, "own" for none

    Start and teacher may be networks that ship, too.

    Raises ConfigError for names that are not those of one folder, and for what cannot be trained.
    """

    configuration: Configuration
    recipe: Recipe
    name: str | None = None
    start: str | None = None
    teacher: str | None = None
    plan: str = "own"

    def __post_init__(self) -> None:
        if self.configuration.source != "trained":
            source = self.configuration.source
            raise bad_value("source", source, "trained", "Leave it out: training makes trained networks.")
        if bool(self.teacher) != bool(self.recipe.distill):
            raise bad_value(
                "distill", self.recipe.distill, "above 0 with --teacher, 0 without", "Give both or neither."
            )
        if self.recipe.scaling == "learned" and self.configuration.weight_bits != 1:
            raise bad_value("scaling", "learned", "fitted above one bit a weight", "Leave it out.")
        for name in (self.name, self.start, self.teacher):
            if name is not None:
                run_folder(Path(), name)

    @property
    def folder(self) -> str:
        """The name of its folder."""
        seed = f"-seed{self.recipe.seed}" if self.recipe.seed else ""
        return self.configuration.name + seed if self.name is None else self.name

    @property
    def command(self) -> str:
        """The command line that trains it."""
        options = {"start": self.start, "teacher": self.teacher, "name": self.name}
        return spelled("train", self.configuration, self.recipe, **options)

    def lock(self, runs: Path) -> FileLock:
        """What whoever trains it holds: one at a time. Entering it raises filelock.Timeout where another does."""
        runs.mkdir(parents=True, exist_ok=True)
        return FileLock(runs / f"{self.folder}.lock", timeout=0)

    def check_starts(self, runs: Path) -> None:
        """Refuse a start or teacher that is not there or does not fit, before anything large is loaded. Raises
        CheckpointError.
        """
        self._begin(Network(self.configuration), runs, PRETRAINED)
        self._teacher(runs, PRETRAINED)

    def train(
        self, runs: Path, images: Images, test: Images, device: str = "cpu", shipped: Path = PRETRAINED
    ) -> Iterator[train.Event]:
        """Train it, or go on where it stopped. Raises CheckpointError, ConfigError.

        runs     the folder of runs
        shipped  where start and teacher are looked for if they are no runs
        """
        torch.manual_seed(self.recipe.seed)
        network = Network(self.configuration, self.recipe.estimator)
        before, teacher = self._begin(network, runs, shipped), self._teacher(runs, shipped)
        train.check_batch_size(self.recipe, len(images))
        folder = runs / self.folder
        runfiles.describe(folder, self.recipe, self.command, self.plan, before)
        yield from train.train(network, self.recipe, images, test, folder, teacher, device)

    def _begin(self, network: Network, runs: Path, shipped: Path) -> str | None:
        """Copy the start into the network, unless the run has begun. -> the commands that made the start"""
        if self.start is None or runfiles.begun(runs / self.folder):
            return None
        start = find_start(self.start, runs, shipped)
        start.copy_to(network)
        return start.made.get("command")

    def _teacher(self, runs: Path, shipped: Path) -> Network | None:
        if self.teacher is None:
            return None
        found = find_start(self.teacher, runs, shipped)
        if found.configuration.method != "float":
            raise CheckpointError(f"{self.teacher} is quantized, and would teach noise. Name a float network.")
        teacher = Network(self.configuration.float_reference)
        found.copy_to(teacher)
        return teacher
