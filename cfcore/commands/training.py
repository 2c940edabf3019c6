"""Making networks: `train`, then `export`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cfcore.config import Configuration, Recipe
from cfcore.console import Json, end_progress, note, print_json, progress
from cfcore.errors import bad_value
from cfcore.manifest import PRETRAINED
from cfcore.options import configured, with_recipe

Runs = Annotated[Path, typer.Option(help="Folder of training runs.")]


@configured
@with_recipe
def train(
    configuration: Configuration,
    recipe: Recipe,
    data: Annotated[
        Path | None,
        typer.Option(help="Folder of CIFAR-10's data_batch_*.bin; downloaded if left out.", show_default=False),
    ] = None,
    runs: Runs = Path("runs"),
    name: Annotated[str | None, typer.Option(help="Name of the run; that of the network if left out.")] = None,
    start: Annotated[str | None, typer.Option(help="Run to start from, such as resnet20-float.")] = None,
    teacher: Annotated[str | None, typer.Option(help="Run of the float network to learn from.")] = None,
    device: Annotated[str, typer.Option(help="cpu or cuda.")] = "cpu",
    json_: Json = False,
) -> None:
    """Train a network, or go on where its run stopped. `export` then packs it.

    Example: python -m cfcore train --method float --epochs 30
    """
    import torch

    from cfcore.data import load_test_set, load_training_set
    from cfcore.runfiles import load_run
    from cfcore.runs import Run
    from cfcore.train import test_accuracy

    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise bad_value("device", device, "cpu, or cuda where this machine has it", "Leave it out.")
    run = Run(configuration, recipe, name, start, teacher)
    images, test = load_training_set(data), load_test_set()
    accuracy: float | None = None
    for event in run.train(runs, images, test, device):
        if event.accuracy is None:
            if sys.stderr.isatty():
                where = f"epoch {event.epoch}/{event.epochs}  step {event.step}/{event.steps}"
                note(f"{where}  loss {event.loss:.3f}  ", end="\r")
            continue
        accuracy = event.accuracy
        minutes = event.seconds_left / 60
        note(
            f"epoch {event.epoch}/{event.epochs}  loss {event.loss:.3f}  test accuracy {event.accuracy:.2f} %  "
            f"{event.images_per_second:,.0f} images/s  {minutes:.0f} min left"
        )
    if accuracy is None:  # the run was finished before
        accuracy = test_accuracy(load_run(runs / run.folder)[0], test)
    result = {**configuration.to_dict(), "accuracy": accuracy, "run": run.folder, "recipe": recipe.to_dict()}
    if json_:
        return print_json(result)
    print(f"{run.folder}: {accuracy:.2f} % after {recipe.epochs} epochs. Pack it with: cfcore export {run.folder}")


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
