"""pretrained/manifest.json: what is shipped, how it was made, and how well it does."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock

from cfcore import checkpoint
from cfcore.architecture import canonical
from cfcore.checkpoint import Checkpoint
from cfcore.config import Configuration
from cfcore.errors import CheckpointError, NotShippedError, bad_value, shown
from cfcore.files import whole
from cfcore.options import spelled


def pretrained_folder() -> Path:
    """The folder that CFCORE_PRETRAINED names, else pretrained/ beside the package, as in a clone of the project."""
    named = os.environ.get("CFCORE_PRETRAINED")
    return Path(named).resolve() if named else Path(__file__).resolve().parent.parent / "pretrained"


PRETRAINED = pretrained_folder()


KINDS = {
    "accuracy": int | float,
    "seeds": dict,
    "plan": str,
    "epochs": int,
    "seconds": int | float | None,
    "machine": str | None,
    "bytes": int,
    "file": str,
    "sha256": str,
    "command": str,
}
MOST = 2**53  # of a number: what JSON readers hold exactly


@dataclass(frozen=True)
class Entry:
    """One shipped network.

    accuracy  top-1 in %, counted on the 10,000 test images with the file as stored
    seeds     accuracy in % of each training seed, by seed; the file is that of the median one
    plan      of the grid that it was trained by, "short" or "long"; "own" for none
    epochs    of its own training, those of the network it started from not counted
    seconds   that those epochs took; None where nobody kept them
    machine   kind of machine that trained it, as `seconds`
    bytes     size of the file
    file      name in pretrained/
    command   what made it
    """

    configuration: Configuration
    accuracy: float
    seeds: dict[str, float]
    plan: str
    epochs: int
    seconds: float | None
    machine: str | None
    bytes: int
    file: str
    sha256: str
    command: str

    def __post_init__(self) -> None:
        for name, kind in KINDS.items():
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, kind):
                raise ValueError(f"{name} is {shown(value)}")
        if not self.seeds or not all(0 <= top1 <= 100 for top1 in (self.accuracy, *self.seeds.values())):
            raise ValueError("an accuracy is missing or not from 0 to 100 %")
        for name in ("epochs", "seconds", "bytes"):
            if not 0 <= (getattr(self, name) or 0) <= MOST:
                raise ValueError(f"{name} is {shown(getattr(self, name))}")
        object.__setattr__(self, "configuration", canonical(self.configuration))  # refuses what the model cannot have
        if not re.fullmatch(r"[\w-][\w.-]*", self.file):
            raise ValueError(f"file is {shown(self.file)}, not the name of a file in this folder")

    def to_dict(self) -> dict[str, Any]:
        """The configuration's fields and the entry's own, in one level."""
        own = asdict(self)
        return {**own.pop("configuration"), **own}

    @classmethod
    def from_dict(cls, row: dict[str, Any]) -> Entry:
        own = {k: row[k] for k in cls.__dataclass_fields__ if k != "configuration"}
        return cls(Configuration.of(**{k: v for k, v in row.items() if k not in own}), **own)


def entries(folder: Path = PRETRAINED) -> list[Entry]:
    """Every shipped network. Raises CheckpointError where the list is missing or damaged."""
    file = folder / "manifest.json"
    try:
        rows = json.loads(file.read_text())["networks"]
        if not isinstance(rows, list):
            raise ValueError("networks is no list")
        found = [Entry.from_dict(row) for row in rows]
        names = Counter(entry.configuration.name for entry in found)
        if twice := [name for name, times in names.items() if times > 1]:
            raise ValueError(f"{twice[0]} is there twice")
        return found
    except (FileNotFoundError, NotADirectoryError):
        raise CheckpointError(
            f"There is no manifest.json in {folder.name}/. Restore pretrained/ from the project, "
            "or name its folder in CFCORE_PRETRAINED."
        ) from None
    except (OSError, KeyError, TypeError, ValueError, RecursionError) as error:
        name = f"{folder.name}/manifest.json"
        raise CheckpointError(f"{name} is damaged ({error}). Restore it from the project.") from error


def changed(folder: Path = PRETRAINED) -> int:
    """When the list was last changed, in nanoseconds since 1970; 0 where it is missing."""
    file = folder / "manifest.json"
    return file.stat().st_mtime_ns if file.is_file() else 0


def find(configuration: Configuration, folder: Path = PRETRAINED) -> Entry | None:
    """The shipped network of this configuration, if there is one."""
    wanted = canonical(configuration)
    return next((e for e in entries(folder) if e.configuration == wanted), None)


def shipped(configuration: Configuration, folder: Path = PRETRAINED) -> Entry:
    """The shipped network of this configuration. Raises NotShippedError, which says how to come by one."""
    if entry := find(configuration, folder):
        return entry
    remedy = f"rain one: {spelled('train', configuration)}"
    can_quantize = configuration.method != "float" and find(configuration.float_reference, folder)
    remedy = f"Use --source post-training, or t{remedy}" if can_quantize else f"T{remedy}"
    raise NotShippedError(f"No trained network of {configuration.name} is shipped. {remedy}")


def named(name: str, folder: Path = PRETRAINED, setting: str = "network") -> Entry:
    """The shipped network of this name, which `setting` asked for. Raises ConfigError."""
    for entry in entries(folder):
        if entry.configuration.name == name:
            return entry
    raise bad_value(setting, name, "a name that `python -m cfcore models` lists", "Choose one.")


def verified(entry: Entry, folder: Path = PRETRAINED) -> Path:
    """The entry's file, once its checksum is right. Raises CheckpointError."""
    file = folder / entry.file
    if not file.is_file():
        raise CheckpointError(f"There is no {entry.file} in {folder.name}/. Restore it from the project.")
    if sha256(file) != entry.sha256:
        raise CheckpointError(f"{entry.file} is not the file that was shipped: its sha256 differs. Restore it.")
    return file


def load(entry: Entry, folder: Path = PRETRAINED) -> Checkpoint:
    """The entry's network, read from its `verified` file. Raises CheckpointError."""
    return checkpoint.load(verified(entry, folder))


def lock(folder: Path) -> FileLock:
    """Held by whoever changes what ships in a folder, who may enter it again."""
    return FileLock(folder / "manifest.lock", is_singleton=True)


def record(entry: Entry, folder: Path = PRETRAINED, candidate: Path | None = None) -> None:
    """Add the entry, in place of one that `find` takes for the same, whose file goes too if it has another name. Rows
    are kept in order of file name.

    candidate  what becomes the entry's file, once all of the list is written beside it: where there is no room, neither
               changes. Killed between the two, the new file stands beside the old sha256 and is refused until it is
               released again.

    Raises CheckpointError where it cannot be written.
    """
    with lock(folder):  # others may record at the same time
        known = entries(folder) if (folder / "manifest.json").is_file() else []
        kept = [e for e in known if e.configuration != entry.configuration]
        rows = [e.to_dict() for e in sorted([*kept, entry], key=lambda e: e.file)]
        try:
            with whole(folder / "manifest.json") as partial:
                partial.write_text(json.dumps({"networks": rows}, indent=1) + "\n")
                if candidate is not None:
                    candidate.replace(folder / entry.file)
            for gone in {e.file for e in known} - {e["file"] for e in rows}:
                (folder / gone).unlink(missing_ok=True)
        except OSError as error:
            name = f"{folder.name}/manifest.json"
            raise CheckpointError(f"{name} could not be written: {error.strerror}. Make room for it.") from error


def sha256(file: Path) -> str:
    """The file's checksum, in hexadecimal."""
    return hashlib.sha256(file.read_bytes()).hexdigest()
