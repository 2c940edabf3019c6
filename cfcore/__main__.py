"""The command line: `python -m cfcore COMMAND`, or `cfcore COMMAND` once installed.

Results go to stdout, as a table or with --json as one document; progress and errors go to stderr. Bad input ends with
exit code 2 and one sentence. Commands import what they need when they run, so that `cost` does not wait for torch.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer
from typer.exceptions import TyperException

from cfcore.config import Configuration, Recipe
from cfcore.console import end_progress, note, print_json, print_table, progress, show_rounds
from cfcore.errors import CfcoreError, bad_value, shown
from cfcore.manifest import PRETRAINED
from cfcore.options import configured, spelled, with_recipe

app = typer.Typer(
    help="Cross-filter compression: quantize, evaluate, cost and time convolutional networks on CIFAR-10.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
bench = typer.Typer(help="Time the bitwise kernels against torch, interleaved, in one run.", no_args_is_help=True)
app.add_typer(bench, name="bench")

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]
Runs = Annotated[Path, typer.Option(help="Folder of training runs.")]


@app.command()
def models(json_: Json = False) -> None:
    """What is in pretrained/: every shipped network with its accuracy and size.

    Example: python -m cfcore models
    """
    from cfcore.manifest import entries

    shipped = entries()
    if json_:
        return print_json([entry.to_dict() for entry in shipped])
    rows = [
        (
            entry.configuration.name,
            entry.configuration.source,
            f"{entry.accuracy:.2f} %",
            f"{entry.bytes:,} B",
            f"{entry.epochs}",
        )
        for entry in shipped
    ]
    print_table(("network", "source", "accuracy", "file", "epochs"), rows)


@app.command()
@configured
def evaluate(
    configuration: Configuration,
    engine: Annotated[
        str | None, typer.Option(help="packed or simulated; packed for xnor if left out.", show_default=False)
    ] = None,
    images: Annotated[int | None, typer.Option(help="Only the first N test images.", show_default=False)] = None,
    checkpoint: Annotated[
        Path | None, typer.Option(help="Evaluate this file; its own configuration counts.", show_default=False)
    ] = None,
    json_: Json = False,
) -> None:
    """Count how many of the 10,000 CIFAR-10 test images a network gets right.

    Example: python -m cfcore evaluate --method xnor --group-size 16
    """
    from cfcore.checkpoint import load
    from cfcore.data import load_test_set
    from cfcore.evaluate import evaluate as count
    from cfcore.evaluate import obtain

    if images is not None and not 1 <= images <= 10_000:
        raise bad_value("images", images, "a whole number from 1 to 10000", "Leave it out for all.")
    network = load(checkpoint) if checkpoint else obtain(configuration)
    result = count(network, load_test_set().first(images), engine, progress)
    end_progress()
    if json_:
        return print_json(result.to_dict())
    print(
        f"{result.configuration.name} ({result.configuration.source}): {result.accuracy:.2f} % "
        f"({result.correct:,} of {result.images:,} right, {result.engine}, {result.seconds:.2f} s)"
    )


@app.command()
@configured
def cost(
    configuration: Configuration,
    json_: Json = False,
) -> None:
    """The memory ledger to the byte, and the operations, computed.

    Example: python -m cfcore cost --weight-bits 1 --group-size 16
    """
    from cfcore.cost import network_cost

    result = network_cost(configuration)
    if json_:
        return print_json(result.to_dict())
    print(f"{result.configuration.name}: {result.bytes.total:,} bytes, {result.ratio:.2f} times smaller than float")
    print(f"{result.operations.binary_macs:,} bitwise and {result.operations.float_macs:,} float MACs an image")
    print_table(("part", "bytes"), [(part, f"{size:,}") for part, size in result.bytes.to_dict().items()])
    print()
    rows = [
        (
            layer.name,
            f"{layer.filters} x {layer.weights_per_filter}",
            f"{layer.groups or '-'}",
            f"{layer.bytes.total:,}",
            f"{layer.bits_per_weight:.3f}",
            f"{layer.ratio:.2f}",
            f"{layer.macs:,}",
        )
        for layer in result.layers
    ]
    print_table(("layer", "filters x n", "groups", "bytes", "bits/weight", "ratio", "MACs"), rows)


@bench.command("conv")
def bench_conv(
    layers: Annotated[str, typer.Option(help="resnet18, resnet20, vgg_small or C,H,F,K,S.")] = "resnet18",
    threads: Annotated[int, typer.Option(help="Threads of every backend.")] = 1,
    weight_bits: Annotated[int, typer.Option(help="Bits of a weight, 1 to 8.")] = 1,
    activation_bits: Annotated[int, typer.Option(help="Bits of an activation, 1 to 8.")] = 1,
    json_: Json = False,
) -> None:
    """Time convolutions: bitwise against torch's fp32, bf16 and int8, each result first compared with the reference.

    Example: python -m cfcore bench conv --layers 256,14,256,3,1 --threads 1
    """
    from cfcore import bench as timing

    result = timing.bench_conv(layers, threads, weight_bits, activation_bits, progress=show_rounds)
    end_progress()
    if json_:
        return print_json(result.to_dict())
    machine = result.machine
    print(f"{machine.cpu}, {machine.cores} cores, {machine.vectors}; {threads} threads, {result.rows[0].runs} runs")
    print(f"port bound {result.port_bound:,.0f} GMAC/s a thread; JIT {result.jit_s:.1f} s, not in the timings")
    rows = [
        (
            row.layer,
            row.backend,
            row.stage,
            f"{row.median_s * 1e6:,.0f} us",
            f"{row.p10_s * 1e6:,.0f}-{row.p90_s * 1e6:,.0f}",
            f"{row.gmacs:,.0f}",
            f"{row.speedup_vs_fp32:.2f}",
            "yes" if row.matches_reference else "NO",
        )
        for row in result.rows
    ]
    print_table(("layer", "backend", "stage", "median", "p10-p90", "GMAC/s", "x fp32", "correct"), rows)
    for remark in result.notes:
        print(remark)


@app.command()
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

    from cfcore import train as training
    from cfcore.data import load_test_set, load_training_set
    from cfcore.models import Network
    from cfcore.train import run_folder

    if device not in ("cpu", "cuda") or (device == "cuda" and not torch.cuda.is_available()):
        raise bad_value("device", device, "cpu, or cuda where this machine has it", "Leave it out.")
    if configuration.source != "trained":
        raise bad_value("source", configuration.source, "trained", "Leave it out: training makes trained networks.")
    if bool(teacher) != bool(recipe.distill):
        raise bad_value("distill", recipe.distill, "above 0 with --teacher, 0 without", "Give both or neither.")
    torch.manual_seed(recipe.seed)
    network = Network(configuration, recipe.estimator)
    if start is not None:
        training.load_trained(run_folder(runs, start), network)
    taught_by = None
    if teacher is not None:
        taught_by = Network(configuration.float_reference)
        training.load_trained(run_folder(runs, teacher), taught_by)
    own_name = configuration.name if recipe.seed == 0 else f"{configuration.name}-seed{recipe.seed}"
    folder = run_folder(runs, own_name if name is None else name)
    images, test = load_training_set(data), load_test_set()
    command = spelled("train", configuration, recipe, start=start, teacher=teacher, name=name)
    training.check_batch_size(recipe, len(images))
    training.describe_run(folder, recipe, command, runs / start if start else None)
    accuracy: float | None = None
    for event in training.train(network, recipe, images, test, folder, taught_by, device):
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
        accuracy = training.test_accuracy(network, test, device)
    result = {**configuration.to_dict(), "accuracy": accuracy, "run": folder.name, "recipe": recipe.to_dict()}
    if json_:
        return print_json(result)
    print(f"{folder.name}: {accuracy:.2f} % after {recipe.epochs} epochs. Pack it with: cfcore export {folder.name}")


@app.command()
def export(
    run: Annotated[str, typer.Argument(help="Name of a finished training run, such as resnet20-float.")],
    runs: Runs = Path("runs"),
    to: Annotated[Path, typer.Option(help="Folder for the file and its manifest row.")] = PRETRAINED,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it exists.")] = False,
    json_: Json = False,
) -> None:
    """Pack a trained network into a checkpoint, count its accuracy, and add its row to the manifest.

    Example: python -m cfcore export resnet20-xnor-w1a1-m16
    """
    from cfcore.release import release
    from cfcore.train import run_folder

    entry = release(run_folder(runs, run), to, overwrite, progress)
    end_progress()
    if json_:
        return print_json(entry.to_dict())
    print(f"{to / entry.file}: {entry.bytes:,} bytes, {entry.accuracy:.2f} %")


@app.command()
def inspect(
    file: Annotated[Path, typer.Argument(help="A checkpoint of this project.")],
    json_: Json = False,
) -> None:
    """What a checkpoint holds: configuration, origin, tensors and bytes.

    Example: python -m cfcore inspect pretrained/resnet20-xnor-w1a1-m16.safetensors
    """
    from cfcore.checkpoint import header_size, load

    network = load(file)
    content = file.read_bytes()
    tensors = [
        {"name": name, "type": str(t.dtype), "shape": list(t.shape), "bytes": t.nbytes}
        for name, t in network.tensors.items()
    ]
    size = {
        "file": len(content),
        "header": header_size(content),
        "tensors": sum(t.nbytes for t in network.tensors.values()),
    }
    if json_:
        return print_json(
            {
                "configuration": network.configuration.to_dict(),
                "origin": network.origin,
                "bytes": size,
                "tensors": tensors,
            }
        )
    print(f"{network.configuration.name} ({network.configuration.source})")
    print("  ".join(f"{part} {count:,} B" for part, count in size.items()))
    print_table(
        ("tensor", "type", "shape", "bytes"),
        [
            (name, str(t.dtype), "x".join(str(length) for length in t.shape), f"{t.nbytes:,}")
            for name, t in network.tensors.items()
        ],
    )


def main() -> None:
    """Run a command; a user's mistake ends with exit code 2 and one sentence."""
    try:
        if app(standalone_mode=False) == 130:  # how typer says that Ctrl-C was pressed
            raise KeyboardInterrupt
        sys.stdout.flush()
    except CfcoreError as error:
        _fail(str(error))
    except BrokenPipeError:  # whoever read the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        _fail(
            f"{error.filename or 'The output'}: {error.strerror}. Check the path, its permissions and the free space."
        )
    except TyperException as error:
        message = error.format_message()
        if message.startswith("Usage:"):  # a command was left out, and this is the help
            note(message)
            sys.exit(2)
        stop = "" if message.endswith((".", "?")) else "."
        _fail(f"{message}{stop}{_given(error)} Add --help to see what is allowed.")
    except (KeyboardInterrupt, typer.Abort):
        note("\nStopped.")
        sys.exit(130)


def _given(error: TyperException) -> str:
    """The value that could not be read, where the parser's sentence leaves it out."""
    try:
        return f" It was {shown(error.__cause__.errors()[0]['input'])}."  # type: ignore[union-attr]
    except (AttributeError, LookupError):
        return ""


def _fail(sentence: str) -> None:
    printable = "".join(c if c.isprintable() else " " for c in sentence)  # the terminal obeys no file name
    note(f"Error: {' '.join(printable.split())}")
    sys.exit(2)


if __name__ == "__main__":
    main()
