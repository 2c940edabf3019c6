"""The floors of the house: a file imports only from floors below its own. Read from the sources, never from memory."""

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LONGEST = 350

# From the ground up. Where one set stands above another, its files may import from it; files of one set may not import
# each other. A package is one name, free within itself.
CFCORE = (
    {"__init__"},  # holds the version only, so that `import cfcore` costs nothing
    {"errors", "openmp", "files"},
    {"config"},
    {"architecture"},
    {"formula", "bitpack", "scaling", "options", "timings", "console"},
    {"cost", "quantize", "kernels", "checkpoint", "shapes", "roofline", "window", "crossover"},
    {"manifest"},
    {"layers", "runtime", "operator", "latent", "images"},
    {"models", "data", "sharing", "comparison", "results"},
    {"export", "runfiles"},
    {"train", "starts", "evaluate", "inside"},
    {"runs", "release", "bench"},
    {"families"},
    {"grid"},
    {"commands"},
    {"__main__"},
)
APP = (
    {"__init__"},
    {"figures"},
    {"services"},
    {"address", "link"},
    {"presets"},
    {"state"},
    {"views"},
    {"streamlit_app"},
)

SCREEN = {"streamlit", "plotly"}
MATHEMATICS = {"torch", "numpy", "numba", "scipy"}
FORBIDDEN = {
    "cfcore": SCREEN,
    "figures": {"streamlit"},
    "views": MATHEMATICS,
    "streamlit_app": MATHEMATICS,
}
PACKAGES = {"kernels", "bench", "commands", "figures", "services", "views"}
WHOLE_CFCORE = {"figures", "services"}  # figures for the records they draw; services is the door of the rest
WITHOUT_DOOR = {"config", "errors"}  # what the rest of the app may import of cfcore


def sources(root: Path) -> list[Path]:
    """Every Python file of the product, not its tests."""
    return sorted([*root.glob("cfcore/**/*.py"), *root.glob("app/**/*.py"), *root.glob("streamlit_app.py")])


def imports(path: Path, root: Path) -> Iterator[tuple[int, str]]:
    """Line and absolute dotted name of everything imported anywhere in the file, in functions and by name too."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        match node:
            case ast.Import(names=names):
                yield from ((node.lineno, alias.name) for alias in names)
            case ast.ImportFrom(module=module, names=names, level=level):
                package = list(path.relative_to(root).parent.parts)
                above = package[: len(package) - level + 1] if level else []
                base = ".".join([*above, *([module] if module else [])])
                yield from ((node.lineno, f"{base}.{alias.name}") for alias in names)
            case ast.Call(
                func=ast.Attribute(attr=called) | ast.Name(id=called), args=[ast.Constant(value=str(name)), *_]
            ):
                if called in ("import_module", "__import__"):
                    yield node.lineno, name


def part(dotted: str) -> str:
    """`quantize` of `cfcore.quantize.levels`; the package itself for `cfcore` and `cfcore.__version__`."""
    names = dotted.split(".")
    inside = len(names) > 1 and (names[1] == "__main__" or not names[1].startswith("__"))
    return names[1] if inside else "__init__"


def floor_of(name: str, floors: tuple[set[str], ...]) -> int | None:
    return next((level for level, names in enumerate(floors) if name in names), None)


def violations(root: Path) -> list[str]:
    """One sentence for each import that breaks a rule."""
    found = []
    for path in sources(root):
        relative = path.relative_to(root)
        if relative.parts[0] == "streamlit_app.py":
            house, own = "app", "streamlit_app"
        else:
            house, own = relative.parts[0], relative.with_suffix("").parts[1]
        floors = CFCORE if house == "cfcore" else APP
        level = floor_of(own, floors)
        if level is None:
            found.append(f"{relative} stands on no floor: name it in {house.upper()} of tests/test_floors.py")
            continue
        for line, name in imports(path, root):
            reason = _broken(house, own, level, floors, name)
            if reason:
                found.append(f"{relative}:{line} imports {name}: {reason}")
    return found


def _broken(house: str, own: str, level: int, floors: tuple[set[str], ...], name: str) -> str | None:
    package = name.split(".")[0]
    place = "cfcore" if house == "cfcore" else own
    if package in FORBIDDEN.get(place, ()):
        return f"{package} has no place in {place}"
    if package == "streamlit_app":
        return "nothing imports the router"
    if package not in ("cfcore", "app"):
        return None
    target = part(name)
    if package == house:
        target_level = floor_of(target, floors)
        if target_level is None:
            return f"{target} stands on no floor"
        if target_level < level or (target == own and own in PACKAGES):
            return None
        return f"{target} is not below {own}"
    if house == "cfcore":
        return "cfcore knows nothing of the app"
    if own not in WHOLE_CFCORE and target not in WITHOUT_DOOR:
        return "services is the door to cfcore"
    return None


def too_long(root: Path) -> list[str]:
    counts = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in sources(root)}
    return [f"{path.relative_to(root)} has {n} lines, at most {LONGEST}" for path, n in counts.items() if n > LONGEST]


# A folder of somebody's machine at the start of a path; not `network/work/` and not a web address.
MACHINE_PATH = re.compile(r"(?<![\w./-])/(?:work|root|home|Users)/\w")


def machine_paths(files: list[Path]) -> list[str]:
    found = []
    for path in files:
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue  # an image or an array
        for number, line in enumerate(text.splitlines(), start=1):
            if MACHINE_PATH.search(line):
                found.append(f"{path.name}:{number} {line.strip()[:120]}")
    return found


def test_every_import_goes_down() -> None:
    assert violations(ROOT) == []


def test_modules_stay_readable() -> None:
    assert too_long(ROOT) == []


def test_no_path_of_a_machine_is_written_down() -> None:
    listed = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True).stdout
    files = [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]
    assert ROOT / "cfcore" / "config.py" in files
    assert machine_paths(files) == []


# ------------------------------------------------------------------------------------- the test of the test


def write(root: Path, name: str, text: str) -> Path:
    path = root / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_the_house_is_really_read() -> None:
    assert ROOT / "cfcore" / "config.py" in sources(ROOT)
    assert "cfcore.errors.bad_value" in [name for _, name in imports(ROOT / "cfcore" / "config.py", ROOT)]


@pytest.mark.parametrize(
    ("name", "source", "sentence"),
    [
        ("cfcore/config.py", "from cfcore.architecture import Conv", "architecture is not below config"),
        ("cfcore/errors.py", "import cfcore.config", "config is not below errors"),
        ("cfcore/formula.py", "from cfcore import bitpack", "bitpack is not below formula"),
        ("cfcore/scaling.py", "def late():\n    from cfcore.quantize import levels", "quantize is not below scaling"),
        ("cfcore/kernels/fast.py", "from cfcore.layers import QuantConv2d", "layers is not below kernels"),
        ("cfcore/kernels/fast.py", "from ..runtime import run", "runtime is not below kernels"),
        ("cfcore/quantize.py", "from .kernels import reference", "kernels is not below quantize"),
        ("cfcore/layers.py", "from cfcore import __version__, layers", "layers is not below layers"),
        ("cfcore/__init__.py", "from cfcore.config import Configuration", "config is not below __init__"),
        ("cfcore/train.py", "import cfcore.__main__", "__main__ is not below train"),
        ("cfcore/bench.py", "import streamlit as st", "streamlit has no place in cfcore"),
        ("cfcore/kernels/fast.py", "from plotly import graph_objects", "plotly has no place in cfcore"),
        (
            "cfcore/release.py",
            "from importlib import import_module\nimport_module('streamlit')",
            "streamlit has no place",
        ),
        ("cfcore/evaluate.py", "from app.figures import plane", "cfcore knows nothing of the app"),
        ("cfcore/evaluate.py", "import streamlit_app", "nothing imports the router"),
        ("cfcore/models.py", "from cfcore.helpers import x", "helpers stands on no floor"),
        ("cfcore/helpers.py", "", "cfcore/helpers.py stands on no floor: name it in CFCORE"),
        ("app/helpers.py", "", "app/helpers.py stands on no floor: name it in APP"),
        ("app/figures/plane.py", "import streamlit", "streamlit has no place in figures"),
        ("app/figures/plane.py", "from app.services import x", "services is not below figures"),
        ("app/services.py", "from app.state import x", "state is not below services"),
        ("app/state.py", "from cfcore.cost import ledger", "services is the door to cfcore"),
        ("app/state.py", "from app.views import explorer", "views is not below state"),
        ("app/views/explorer.py", "import cfcore.evaluate", "services is the door to cfcore"),
        ("app/views/explorer.py", "from torch import nn", "torch has no place in views"),
        ("app/views/explorer.py", "import numpy as np", "numpy has no place in views"),
        ("app/views/explorer.py", "import streamlit_app", "nothing imports the router"),
        ("streamlit_app.py", "import torch", "torch has no place in streamlit_app"),
        ("streamlit_app.py", "from cfcore.models import build", "services is the door to cfcore"),
    ],
)
def test_a_broken_rule_is_caught(tmp_path: Path, name: str, source: str, sentence: str) -> None:
    write(tmp_path, name, source)
    (only,) = violations(tmp_path)
    assert sentence in only
    assert only.startswith(name)


@pytest.mark.parametrize(
    ("name", "source"),
    [
        ("cfcore/cost.py", "from cfcore.architecture import Conv\nfrom cfcore import __version__\nimport numpy"),
        ("cfcore/kernels/fast.py", "from cfcore.kernels import reference\nfrom . import reference\nimport numba"),
        ("cfcore/__main__.py", "from cfcore import bench, config, kernels\nimport typer"),
        (
            "app/figures/plane.py",
            "from cfcore.evaluate import Evaluation\nimport numpy, plotly\nfrom app.figures import look",
        ),
        ("app/services.py", "from cfcore import evaluate\nimport streamlit"),
        ("app/state.py", "from cfcore.config import MODELS\nfrom cfcore.errors import ConfigError\nimport streamlit"),
        ("app/views/a.py", "from app import services, state\nfrom app.figures import plane\nfrom app.views import b"),
        ("streamlit_app.py", "import streamlit as st\nfrom app import state"),
    ],
)
def test_what_is_allowed_passes(tmp_path: Path, name: str, source: str) -> None:
    write(tmp_path, name, source)
    assert violations(tmp_path) == []


def test_a_long_module_is_caught(tmp_path: Path) -> None:
    write(tmp_path, "cfcore/config.py", "x = 1\n" * LONGEST)
    assert too_long(tmp_path) == []
    write(tmp_path, "app/views/explorer.py", "x = 1\n" * (LONGEST + 1))
    assert too_long(tmp_path) == ["app/views/explorer.py has 351 lines, at most 350"]


@pytest.mark.parametrize("folder", ["work", "root", "home", "Users"])
def test_a_machine_path_is_caught(tmp_path: Path, folder: str) -> None:
    note = write(tmp_path, "note.md", f"fine: network/{folder}/x\nsee /{folder}/x/y\n")
    assert machine_paths([note]) == [f"note.md:2 see /{folder}/x/y"]


def test_binary_files_are_passed_over(tmp_path: Path) -> None:
    image = tmp_path / "a.webp"
    image.write_bytes(b"\xff\xfe/" + b"root/x")
    assert machine_paths([image]) == []
