"""Files that are written whole or not at all."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path


@contextmanager
def whole(file: Path) -> Iterator[Path]:
    """A place beside `file` to write to. It becomes `file` in the end, or is removed where anything went wrong."""
    partial = file.with_name(file.name + ".partial")
    try:
        yield partial
        partial.replace(file)
    except BaseException as error:
        if isinstance(error, OSError):
            error.filename = error.filename or str(file)  # a full disk names none
        with suppress(OSError):  # where the folder is none, there is nothing to remove either
            partial.unlink()
        raise
