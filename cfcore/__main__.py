"""The command line: `python -m cfcore COMMAND`, or `cfcore COMMAND` once installed.

Results go to stdout, as a table or with --json as one document; progress and errors go to stderr. Bad input ends with
exit code 2 and one sentence. Commands import what they need when they run, so that `cost` does not wait for torch.
"""

from __future__ import annotations

import io
import os
import sys

import typer
from typer.exceptions import TyperException

from cfcore import openmp
from cfcore.commands import inside, networks, timing, training
from cfcore.console import note
from cfcore.errors import CfcoreError, shown

app = typer.Typer(
    help="Cross-filter compression: quantize, evaluate, cost and time convolutional networks on CIFAR-10.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
bench = typer.Typer(help="Time the bitwise kernels against torch, interleaved, in one run.", no_args_is_help=True)
app.add_typer(bench, name="bench")

for command in (
    networks.models,
    networks.evaluate,
    networks.compare,
    networks.cost,
    networks.formula,
    networks.scales,
    networks.inspect,
):
    app.command()(command)
app.command()(training.export)
train = typer.Typer(invoke_without_command=True)
train.callback()(training.train)
train.command("grid")(training.train_grid)
app.add_typer(train, name="train")
bench.command("conv")(timing.bench_conv)
bench.command("network")(timing.bench_network)
bench.command("record")(timing.bench_record)
bench.command("table")(timing.bench_table)
app.command()(inside.window)


def main() -> None:
    """Run a command; a user's mistake ends with exit code 2 and one sentence."""
    openmp.give_way()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # for a terminal that knows only ASCII
    try:
        if app(standalone_mode=False) == 130:  # how typer says that Ctrl-C was pressed
            raise KeyboardInterrupt
        if sys.stdout is not None:  # else it was closed
            sys.stdout.flush()
    except CfcoreError as error:
        _fail(str(error))
    except BrokenPipeError:  # whoever read the output has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)  # as click ends, where it notices first
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
