"""The files of a training run: last.pt, all that it needs to go on, and run.json, which says what it is."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from cfcore.config import Configuration, Recipe
from cfcore.errors import CheckpointError, shown
from cfcore.files import whole
from cfcore.models import Network

# of last.pt; seconds are those of all epochs so far, machine is the one that did the last
STATE = ("configuration", "recipe", "network", "optimiser", "schedule", "generator", "epoch", "seconds", "machine")
DESCRIBED = {"recipe": dict, "plan": str, "command": str}  # of run.json


@dataclass(frozen=True, eq=False)
class State:
    """Everything that last.pt keeps, so that an interrupted run goes on as if it had not been."""

    file: Path
    network: Network
    recipe: Recipe
    optimiser: torch.optim.Optimizer
    schedule: torch.optim.lr_scheduler.LambdaLR
    generator: torch.Generator

    def save(self, epoch: int, seconds: float, machine: str) -> None:
        """Write last.pt whole or not at all."""
        state = {
            "configuration": self.network.configuration.to_dict(),
            "recipe": self.recipe.to_dict(),
            "network": self.network.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "schedule": self.schedule.state_dict(),
            "generator": self.generator.get_state(),
            "epoch": epoch,
            "seconds": seconds,
            "machine": machine,
        }
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with whole(self.file) as partial:
                torch.save(state, partial)
        except (OSError, RuntimeError) as error:  # torch raises RuntimeError for a full disk
            raise CheckpointError(
                f"The training state could not be written to {self.file.parent}: {error}. Free some space."
            ) from error

    def resume(self) -> tuple[int, float]:
        """Pick up last.pt where there is one. -> epochs already done, and the seconds they took"""
        if not self.file.is_file():
            return 0, 0.0
        state = read_state(self.file)
        if (state["configuration"], state["recipe"]) != (self.network.configuration.to_dict(), self.recipe.to_dict()):
            raise _of_another(self.file)
        try:
            self.network.load_state_dict(state["network"])
            self.optimiser.load_state_dict(state["optimiser"])
            self.schedule.load_state_dict(state["schedule"])
            self.generator.set_state(state["generator"])
        except Exception as error:  # torch raises many kinds for a damaged state
            name = type(error).__name__
            raise CheckpointError(f"{self.file} cannot be resumed ({name}). Remove it to start anew.") from error
        return int(state["epoch"]), float(state["seconds"])


def read_state(file: Path, mapped: bool = False) -> dict[str, Any]:
    """What last.pt holds; its tensors stay on the disk where the file is only `mapped`, which cannot be written anew
    as long as they are used. Raises CheckpointError.
    """
    try:  # of our own run, and nothing but tensors and plain values is unpickled
        state = torch.load(file, map_location="cpu", weights_only=True, mmap=mapped)  # noqa: TID251
        found = {key: state[key] for key in STATE}
        Configuration.of(**found["configuration"])
        _ = found["network"].items()
        if not all(type(number) is int and number >= 0 for number in (found["epoch"], found["recipe"]["epochs"])):
            raise TypeError("epochs are counted")
        if not 0 <= found["seconds"] < math.inf or not isinstance(found["machine"], str):
            raise TypeError("nobody knows how long it took, or where")
        return found
    except Exception as error:  # torch and pickle raise many kinds for a damaged file
        raise CheckpointError(f"{file} cannot be read ({type(error).__name__}). Remove it to start anew.") from error


def begun(folder: Path) -> bool:
    """Whether a run goes on from here: all that it needs of its start is kept."""
    return (folder / "last.pt").is_file() and (folder / "run.json").is_file()


def describe(folder: Path, recipe: Recipe, command: str, plan: str = "own", before: str | None = None) -> None:
    """Write run.json beside last.pt: what the run is, and the commands that make it.

    plan    the plan of the grid that it belongs to, "own" for none
    before  the commands that make what it starts from

    A run that has begun keeps what was written when it did. Raises CheckpointError where that is another command, of
    another start or teacher.
    """
    if begun(folder):
        own = read_description(folder)["command"].split(" && ")[-1]
        if own != command:
            raise CheckpointError(f"{folder} holds another run: {own}. Repeat that, or choose another --name.")
        return
    folder.mkdir(parents=True, exist_ok=True)
    commands = " && ".join([before, command] if before else [command])
    described = {"recipe": recipe.to_dict(), "plan": plan, "command": commands}
    with whole(folder / "run.json") as partial:
        partial.write_text(json.dumps(described, indent=1) + "\n")


def read_description(folder: Path) -> dict[str, Any]:
    """What run.json holds. Raises CheckpointError."""
    try:
        described = json.loads((folder / "run.json").read_text())
        for key, kind in DESCRIBED.items():
            if not isinstance(described[key], kind):
                raise TypeError(f"{key} is {shown(described[key])}")
        return {key: described[key] for key in DESCRIBED}
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        raise CheckpointError(f"{folder / 'run.json'} cannot be read. Train the network again.") from error


def epochs_done(folder: Path, recipe: Recipe) -> int:
    """How many epochs of the run are kept; 0 where there is none. Raises CheckpointError, for another recipe too."""
    file = folder / "last.pt"
    if not file.is_file():
        return 0
    state = read_state(file, mapped=True)
    if state["recipe"] != recipe.to_dict():
        raise _of_another(file)
    return int(state["epoch"])


def _of_another(file: Path) -> CheckpointError:
    return CheckpointError(f"{file} belongs to another configuration or recipe. Choose another folder or remove it.")


def load_run(folder: Path) -> tuple[Network, dict[str, Any]]:
    """The network of a finished run, and how it was made: `DESCRIBED`, seconds, machine. Raises CheckpointError."""
    if not begun(folder):
        raise CheckpointError(f"There is no training run in {folder}. Train it first, or name another folder.")
    state, described = read_state(folder / "last.pt"), read_description(folder)
    if state["recipe"] != described["recipe"]:
        raise CheckpointError(f"{folder / 'run.json'} describes another run. Train the network again.")
    if state["epoch"] < state["recipe"]["epochs"]:
        done = f"{state['epoch']} of {state['recipe']['epochs']} epochs"
        raise CheckpointError(f"The run in {folder} has done {done}. Repeat its command to go on.")
    network = Network(Configuration.of(**state["configuration"]))
    try:
        network.load_state_dict(state["network"])
    except (RuntimeError, AttributeError, TypeError) as error:  # an earlier version's, or damaged
        reason = str(error).splitlines()[-1].strip()
        raise CheckpointError(f"{folder / 'last.pt'} does not fit: {reason} Train the network again.") from error
    return network.eval(), {**described, "seconds": state["seconds"], "machine": state["machine"]}
