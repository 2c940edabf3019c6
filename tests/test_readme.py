"""README says what is true: its numbers are the manifest's, its commands exist, its links lead somewhere."""

import re
import shlex
from pathlib import Path

import pytest
import typer.testing

from cfcore import results
from cfcore.__main__ import app
from cfcore.config import Configuration
from cfcore.cost import network_cost
from cfcore.manifest import entries

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")


def section(title: str) -> str:
    return README.split(f"\n## {title}\n")[1].split("\n## ")[0]


def rows(text: str) -> list[list[str]]:
    lines = [line for line in text.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[1:] if "---" not in line]


def test_the_results_are_those_of_the_manifest() -> None:
    """Not? `python -m cfcore models --markdown` prints what belongs there."""
    assert results.markdown(entries()) in section("Results")


def test_the_example_of_the_format_is_right() -> None:
    layer = network_cost(Configuration(group_size=16)).layers[1]
    assert "16 · 144/8 = 288 bytes" in README
    assert (layer.bytes.weights, layer.bytes.scales, layer.groups) == (288, 4, 1)
    assert f"{layer.bits_per_weight:.3f} bits per weight" in README


def commands() -> list[list[str]]:
    blocks = re.findall(r"```sh\n(.*?)```", README, re.DOTALL)
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    lines = [line.removeprefix("OMP_NUM_THREADS=1 ").removesuffix(" &") for line in lines]
    return [shlex.split(line, comments=True)[3:] for line in lines if line.startswith("python -m cfcore ")]


@pytest.mark.parametrize("words", commands(), ids=" ".join)
def test_every_command_shown_is_understood(words: list[str]) -> None:
    """Its options are accepted; it is not run."""
    depth = 2 if words[0] == "bench" or words[1] == "grid" else 1
    shown = typer.testing.CliRunner().invoke(app, [*words[:depth], "--help"])
    assert shown.exit_code == 0
    assert not {w for w in words if w.startswith("--")} - set(re.findall(r"--[a-z-]+", shown.output))


def test_every_command_in_the_table_exists() -> None:
    listed = {row[0].strip("`").removesuffix(" FILE") for row in rows(section("Command line"))}
    groups = {
        f"{group.name} {c.name}" for group in app.registered_groups for c in group.typer_instance.registered_commands
    }
    alone = {c.callback.__name__ for c in app.registered_commands}
    alone |= {group.name for group in app.registered_groups if group.typer_instance.info.invoke_without_command is True}
    assert listed == alone | groups


def test_links_to_files_lead_somewhere() -> None:
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target
