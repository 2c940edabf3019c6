"""What the command line writes: results to stdout; progress and errors to stderr."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable
from typing import Annotated, Any

import typer

Json = Annotated[bool, typer.Option("--json", help="Print one JSON document and nothing else.")]


def note(text: str, end: str = "\n") -> None:
    """Say something beside the results."""
    if sys.stderr is not None:  # it was closed
        print(text, end=end, file=sys.stderr, flush=True)


def is_watched() -> bool:
    """Whether somebody sees the progress."""
    return sys.stderr is not None and sys.stderr.isatty()


def progress(share: float) -> None:
    """Show the share done, on a terminal."""
    if is_watched():
        note(f"{share:4.0%}", end="\r")


def show_rounds(done: int, rounds: int, layer: str) -> None:
    """Show how far a benchmark is, on a terminal."""
    if is_watched():
        note(f"{layer}: round {done}/{rounds}  ", end="\r")


def end_progress() -> None:
    """Clear the line of progress."""
    if is_watched():
        note(" " * 40, end="\r")


def print_json(document: Any) -> None:
    """One document, whole or not at all."""
    print(json.dumps(document, indent=1, allow_nan=False))


def print_table(head: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> None:
    """Columns as wide as their widest cell; the first to the left, numbers to the right."""
    table = [head, *rows]
    widths = [max(len(row[i]) for row in table) for i in range(len(head))]
    for row in table:
        cells = [row[0].ljust(widths[0]), *(cell.rjust(w) for cell, w in zip(row[1:], widths[1:], strict=True))]
        print("  ".join(cells).rstrip())
