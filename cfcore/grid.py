"""Working through the grid: `train grid` trains what does not ship yet, and ships it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from filelock import FileLock, Timeout

from cfcore import manifest, runfiles, starts
from cfcore.architecture import architecture
from cfcore.config import Configuration
from cfcore.errors import bad_value
from cfcore.families import PLANS, Cell, bases, cells, families
from cfcore.images import Images
from cfcore.latent import latent_file, read_latent
from cfcore.release import release
from cfcore.runs import Run
from cfcore.train import Event

LARGEST_LATENT = 2**19  # weights: the latent ones of larger networks are not shipped
TOGETHER = 5.0  # seconds between two looks at what the processes beside this one have finished


@dataclass(frozen=True)
class Step:
    """Where the grid stands: a run's event, how many runs are left with it, and the seconds they take here."""

    run: Run
    event: Event
    runs_left: int
    seconds_left: float


@dataclass(frozen=True)
class Grid:
    """The grid of one plan, kept in `runs`/PLAN and shipped to `to`.

    Several processes may work at one grid, and on few cores should: each takes runs that no other has.
    """

    plan: str
    runs: Path
    to: Path = manifest.PRETRAINED
    only: str = ""

    def todo(self) -> list[Run]:
        """The runs still to be trained for the cells that do not ship yet, each after the one it starts from."""
        known, needed = bases(self.plan), {}
        known |= {run.folder: run for cell in cells(self.plan) for run in cell.runs}

        def need(run: Run) -> None:
            if run.folder in needed or self.finished(run):
                return
            start = None if runfiles.begun(self.folder / run.folder) else run.start
            for name in (start, run.teacher):
                if name and not self.ships_start(known[name]):
                    need(known[name])
            needed[run.folder] = run

        for cell in self.open_cells():
            for run in cell.runs:
                need(run)
        return list(needed.values())

    def open_cells(self) -> list[Cell]:
        """The cells named by `only` that do not ship yet, or only by a lesser plan."""
        named = [cell for cell in cells(self.plan) if cell.network.name.startswith(self.only)]
        if not named:
            names = ", ".join(family.network.name for family in families(self.plan))
            raise bad_value(
                "only", self.only, f"the beginning of a network's name, such as those of {names}", "Leave it out."
            )
        return [cell for cell in named if not self.ships(cell.network, cell.seeds)]

    def _open_rows(self) -> list[list[Cell]]:
        """The rows of these cells, with their other siblings that do not ship yet."""
        rows: dict[Configuration, list[Cell]] = {_row(cell): [] for cell in self.open_cells()}
        for cell in cells(self.plan):
            if _row(cell) in rows and not self.ships(cell.network, cell.seeds):
                rows[_row(cell)].append(cell)
        return list(rows.values())

    def ships(self, network: Configuration, seeds: set[str]) -> bool:
        """Whether the file of this network is there, made by this plan or a longer one, with these seeds."""
        entry = manifest.find(network, self.to) if (self.to / "manifest.json").is_file() else None
        if entry is None or not (self.to / entry.file).is_file():
            return False
        return self._good_enough(entry.plan) and seeds <= entry.seeds.keys()

    def ships_start(self, run: Run) -> bool:
        """Whether what starts from this run can start from a file: a float network, or a base's latent weights."""
        latent = latent_file(run.folder, self.to)
        if latent.is_file():
            return self._good_enough(read_latent(latent).made.get("plan", "own"))
        return run.folder == run.configuration.name and self.ships(run.configuration, {str(run.recipe.seed)})

    def finished(self, run: Run) -> bool:
        return runfiles.epochs_done(self.folder / run.folder, run.recipe) >= run.recipe.epochs

    @property
    def folder(self) -> Path:
        return self.runs / self.plan

    def train(
        self, images: Images, test: Images, device: str = "cpu", wait: Callable[[float], None] = time.sleep
    ) -> Iterator[Step]:
        """Train what is left and ship it, yielding steps; closing the iterator stops it at the last epoch's end.

        Raises CheckpointError, ConfigError.
        """
        self.ship()
        while todo := self.todo():
            with self._taken(todo) as run:
                if run is None:
                    wait(TOGETHER)
                    continue
                left = sum(_work(other) for other in todo if other is not run)
                for event in run.train(self.folder, images, test, device, self.to):
                    after = left * len(images) / (event.images_per_second * _macs(run))
                    yield Step(run, event, len(todo), event.seconds_left + after)
            self.ship()

    @contextmanager
    def _taken(self, todo: list[Run]) -> Iterator[Run | None]:
        """The first run whose start is there and that no other process has or has finished; None if there is none."""
        waiting = {run.folder for run in todo}
        for run in todo:
            if {run.start, run.teacher} & waiting:
                continue
            try:
                with run.lock(self.folder):
                    if not self.finished(run):
                        yield run
                        return
            except Timeout:
                continue
        yield None

    def ship(self) -> None:
        """Write the files of every row whose runs are finished, and the latent weights of every finished base.

        A row ships whole: beside networks of another plan its own would be compared with what they are no siblings of.
        A base of several runs ships the last finished one's, so that the next can be trained elsewhere.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        with FileLock(self.folder / "ship.lock"):
            for row in self._open_rows():
                if all(self.finished(run) for cell in row for run in cell.runs):
                    for cell in row:
                        release([self.folder / run.folder for run in cell.runs], self.to, overwrite=True)
            known = bases(self.plan)
            after = {run.start: run for run in known.values()}
            for run in known.values():
                if run.configuration.method == "float" or _weights(run) > LARGEST_LATENT:
                    continue
                if run.folder in after and self.ships_start(after[run.folder]):
                    latent_file(run.folder, self.to).unlink(missing_ok=True)
                elif self.finished(run) and not self.ships_start(run):
                    starts.save_latent(*runfiles.load_run(self.folder / run.folder), latent_file(run.folder, self.to))

    def _good_enough(self, plan: str) -> bool:
        return plan in PLANS and PLANS.index(plan) >= PLANS.index(self.plan)


def _row(cell: Cell) -> Configuration:
    """What siblings have in common."""
    return replace(cell.network, group_size=1, order="index")


def _macs(run: Run) -> int:
    """Multiply-accumulates of the run's network for one image."""
    return sum(conv.macs for conv in architecture(run.configuration).convs)


def _work(run: Run) -> int:
    """What a run costs, in multiply-accumulates for an image of the training set."""
    return run.recipe.epochs * _macs(run)


def _weights(run: Run) -> int:
    return sum(conv.filters * conv.weights_per_filter for conv in architecture(run.configuration).convs)
