"""For tests of the worker process: a worker, tasks for it, and waiting for what they come to."""

import functools
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from app.services import jobs
from app.services.jobs import Status, Worker
from app.services.worker_process import Report
from cfcore.errors import ConfigError


@dataclass(frozen=True)
class Counting:
    """Counts to `steps`, a hundredth of a second each; with first results if it `shows` them."""

    steps: int
    shows: bool = False
    kind: str = "counting"
    rank: int = 1

    def run(self, report: Report) -> int:
        for step in range(self.steps):
            report(step / self.steps, f"step {step}", step if self.shows and step else None)
            time.sleep(0.01)
        return self.steps


@dataclass(frozen=True)
class Ranked(Counting):
    """Equal at every rank."""

    rank: int = field(default=1, compare=False)


class Garbled:
    """Cannot be unpickled."""

    def __reduce__(self) -> tuple[object, ...]:
        return int, ("not a number",)


@dataclass(frozen=True)
class Failing:
    how: str
    kind: str = "failing"
    rank: int = 1

    def run(self, report: Report) -> object:
        if self.how == "garble":
            return Garbled()
        if self.how == "refuse":
            raise ConfigError("m = 0 is not allowed: use 1. Choose 1.")
        if self.how == "die":
            os._exit(1)
        if self.how == "hang":
            report(0.0, "hanging")
            time.sleep(600)
        raise RuntimeError("inner detail")


@dataclass(frozen=True)
class Process:
    """Which process does it."""

    number: int
    kind: str = "process"
    rank: int = 1

    def run(self, report: Report) -> int:
        return os.getpid()


@functools.cache
def content(folder: Path) -> str:
    """As a task keeps a network, in its process."""
    return (folder / "network").read_text()


@dataclass(frozen=True)
class Reading:
    folder: Path
    steps: int = 0
    kind: str = "reading"
    rank: int = 1

    def run(self, report: Report) -> str:
        found = content(self.folder)
        for step in range(self.steps):
            report(step / self.steps, f"step {step}", found)
            time.sleep(0.01)
        return found


@pytest.fixture
def worker() -> Iterator[Worker]:
    made = Worker()
    yield made
    made.close()


def until(worker: Worker, task: jobs.Task, wanted: Callable[[Status], bool], session: str = "a") -> Status:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        status = worker.look(task, session)
        if status is not None and wanted(status):
            return status
        time.sleep(0.005)
    raise AssertionError(f"never so: {worker.look(task, session)}")


def ended(status: Status) -> bool:
    return not status.active


@dataclass(frozen=True)
class Brief(Process):
    rank: int = 0
