"""Making networks: `train`, then `export`; or `train grid` for all that ship."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cfcore.config import Configuration, Recipe
from cfcore.console import Json, end_progress, is_watched, note, print_json, progress
from cfcore.errors import CheckpointError, ConfigError, bad_value
from cfcore.manifest import PRETRAINED
from cfcore.options import configured, with_recipe

if TYPE_CHECKING:
    from cfcore.train import Event

Runs = Annotated[Path, typer.Option(help="Folder of training runs.")]
Data = Annotated[
    Path | None,
    typer.Option(help="Folder of CIFAR-10's data_batch_*.bin; downloaded if left out.", show_default=False),
]
Device = Annotated[str, typer.Option(help="cpu or cuda.")]


@configured
@with_recipe
def train(
    context: typer.Context,
    configuration: Configuration,
    recipe: Recipe,
    data: Data = None,
    runs: Runs = Path("runs"),
    name: Annotated[str | None, typer.Option(help="Name of the run; that of the network if left out.")] = None,
    start: Annotated[str | None, typer.Option(help="Run to start from, such as resnet20-float.")] = None,
    teacher: Annotated[str | None, typer.Option(help="Run of the float network to learn from.")] = None,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Train a network, or go on where its run stopped. `export` then packs it.

    Example: python -m cfcore train --method float --epochs 30
    """
    if context.invoked_subcommand:
        return _refuse_options_before(context.invoked_subcommand, context)
    from filelock import Timeout

    from cfcore.data import load_training_set
    from cfcore.images import load_test_set
    from cfcore.runfiles import load_run
    from cfcore.runs import Run
    from cfcore.train import test_accuracy

    _check_device(device)
    run = Run(configuration, recipe, name, start, teacher)
    run.check_starts(runs)  # before the images are fetched
    images, test = load_training_set(data), load_test_set()
    accuracy: float | None = None
    try:
        with run.lock(runs):
            for event in run.train(runs, images, test, device):
                if event.accuracy is not None:
                    accuracy = event.accuracy
                _tell(event, "", event.seconds_left)
    except Timeout:
        raise CheckpointError(
            f"Another process is training {run.folder} in {runs}. Wait for it, or choose another --name."
        ) from None
    if accuracy is None:  # the run was finished before
        accuracy = test_accuracy(load_run(runs / run.folder)[0], test)
    result = {**configuration.to_dict(), "accuracy": accuracy, "run": run.folder, "recipe": recipe.to_dict()}
    if json_:
        return print_json(result)
    print(f"{run.folder}: {accuracy:.2f} % after {recipe.epochs} epochs. Pack it with: cfcore export {run.folder}")


def train_grid(
    plan: Annotated[str, typer.Option(help="short: some days on two cores; long: for an accelerator.")] = "short",
    only: Annotated[str, typer.Option(help="Only networks whose name begins so, such as resnet20-xnor-w1a1.")] = "",
    data: Data = None,
    runs: Runs = Path("runs"),
    to: Annotated[Path, typer.Option(help="Folder of what ships.")] = PRETRAINED,
    device: Device = "cpu",
    json_: Json = False,
) -> None:
    """Train every network that does not ship yet, and ship it; or go on where that stopped.

    Several may run side by side, and on few cores one for each, with OMP_NUM_THREADS=1, is fastest: each takes runs
    that no other has.

    Example: python -m cfcore train grid --only resnet20-binary-weight
    """
    from cfcore.data import load_training_set
    from cfcore.grid import Grid
    from cfcore.images import load_test_set

    _check_device(device)
    grid = Grid(plan, runs, to, only)
    before = grid.open_cells()
    if todo := grid.todo():
        images, test = load_training_set(data), load_test_set()
        note(f"{len(before)} networks to ship, {len(todo)} runs to train.")
        for step in grid.train(images, test, device):
            _tell(step.event, f"{step.runs_left} runs left  {step.run.folder}  ", step.seconds_left)
    else:
        grid.ship()
    missing = {cell.network.name for cell in grid.open_cells()}
    shipped = [cell.network.name for cell in before if cell.network.name not in missing]
    if json_:
        return print_json({"plan": plan, "shipped": shipped, "missing": sorted(missing)})
    if shipped:
        print(f"{len(shipped)} networks shipped now: {', '.join(shipped)}.")
    elif not missing:
        print("Nothing was left to train.")
    if missing:
        print(f"{len(missing)} networks are trained and ship once all of their row is: {', '.join(sorted(missing))}.")


def export(
    run: Annotated[
        list[str], typer.Argument(help="Finished training runs, such as resnet20-float; several are seeds of one.")
    ],
    runs: Runs = Path("runs"),
    to: Annotated[Path, typer.Option(help="Folder for the file and its manifest row.")] = PRETRAINED,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    json_: Json = False,
) -> None:
    """Pack a trained network into a checkpoint, count its accuracy, and add its row to the manifest.

    Of several seeds the one of median accuracy is packed, and the row keeps the accuracy of each.

    Example: python -m cfcore export resnet20-xnor-w1a1-m16
    """
    from cfcore.release import release
    from cfcore.runs import run_folder

    entry = release([run_folder(runs, name) for name in run], to, overwrite, progress)
    end_progress()
    if json_:
        return print_json(entry.to_dict())
    print(f"{to / entry.file}: {entry.bytes:,} bytes, {entry.accuracy:.2f} %")


def _refuse_options_before(command: str, context: typer.Context) -> None:
    """`train` and `train grid` have options of one name: those of the one do nothing for the other."""
    for name in context.params:
        source = context.get_parameter_source(name)
        if source is not None and source.name == "COMMANDLINE":
            option = "--" + name.strip("_").replace("_", "-")
            raise ConfigError(f"{option} stands before {command}, where it does nothing. Put it behind that.")


def _check_device(device: str) -> None:
    import torch

    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise bad_value("device", device, "cpu, or cuda where this machine has it", "Leave it out.")


def _tell(event: Event, where: str, seconds_left: float) -> None:
    """A line an epoch; on a terminal one that moves with every step."""
    if event.accuracy is not None:
        note(
            f"{where}epoch {event.epoch}/{event.epochs}  loss {event.loss:.3f}  "
            f"test accuracy {event.accuracy:.2f} %  {event.images_per_second:,.0f} images/s  "
            f"{seconds_left / 60:.0f} min left"
        )
    elif is_watched():
        steps = f"step {event.step}/{event.steps}  loss {event.loss:.3f}  "
        note(f"{where}epoch {event.epoch}/{event.epochs}  {steps}", end="\r")
