"""cfcore.runs: a run names its folder and its command, begins where another ended, and learns from a teacher."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cfcore.config import Configuration, Recipe
from cfcore.errors import CheckpointError, ConfigError
from cfcore.images import Images
from cfcore.runfiles import load_run
from cfcore.runs import Run, run_folder
from cfcore.starts import find_start

NARROW = Configuration(width=0.25, group_size=2)
FLOAT = NARROW.float_reference
QUICK = {"epochs": 1, "batch_size": 8, "precision": "fp32"}


pytestmark = pytest.mark.usefixtures("nothing_compiled")


def some(count: int = 16) -> Images:
    rng = np.random.default_rng(0)
    return Images(rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), np.arange(count) % 10)


def learned(runs: Path, run: Run) -> dict[str, Any]:
    """What it has learned, in its network's state."""
    list(run.train(runs, some(), some(8)))
    return torch.load(runs / run.folder / "last.pt", weights_only=True)["network"]  # noqa: TID251 - our own file


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "/x", "a" * 101, "-x", "a\nb", "a b"])
def test_a_run_is_one_folder_of_its_own(name: str, tmp_path: Path) -> None:
    assert run_folder(tmp_path, "resnet20-xnor-w1a1-m1_seed.2") == tmp_path / "resnet20-xnor-w1a1-m1_seed.2"
    with pytest.raises(ConfigError, match=r"^run = .* is not allowed: use up to 100 letters"):
        run_folder(tmp_path, name)
    for role in ("name", "start"):
        with pytest.raises(ConfigError, match=r"^run = "):
            Run(NARROW, Recipe(), **{role: name})


def test_a_run_is_named_after_its_network_and_seed() -> None:
    assert Run(NARROW, Recipe()).folder == NARROW.name
    assert Run(NARROW, Recipe(seed=2)).folder == f"{NARROW.name}-seed2"
    assert Run(NARROW, Recipe(seed=2), name="mine").folder == "mine"


def test_a_run_from_another_start_is_not_gone_on_with(tmp_path: Path) -> None:
    learned(tmp_path, Run(FLOAT, Recipe(**QUICK), name="first"))
    learned(tmp_path, Run(NARROW, Recipe(**QUICK), name="mine"))
    with pytest.raises(CheckpointError, match=r"mine holds another run: cfcore train .* choose another --name"):
        learned(tmp_path, Run(NARROW, Recipe(**QUICK), name="mine", start="first"))


def test_a_start_that_is_not_there_is_found_out_before_the_images_are_read(tmp_path: Path) -> None:
    for role in ({"start": "none"}, {"teacher": "none"}):
        with pytest.raises(CheckpointError, match=r"There is no trained network at .*none"):
            Run(NARROW, Recipe(distill=0.5 if "teacher" in role else 0.0), **role).check_starts(tmp_path)


def test_a_start_that_does_not_fit_is_found_out_before_the_images_are_read(tmp_path: Path) -> None:
    learned(tmp_path, Run(NARROW, Recipe(**QUICK), name="narrow"))
    wide = Run(replace(NARROW, width=0.5), Recipe(), start="narrow")
    with pytest.raises(CheckpointError, match=r"is of another network: its .* Start from the same model\."):
        wide.check_starts(tmp_path)
    more_bits = Run(replace(NARROW, weight_bits=2, activation_bits=2), Recipe(), start="narrow")
    with pytest.raises(CheckpointError, match=r"has the blocks of .*, and this network has others\."):
        more_bits.check_starts(tmp_path)


@pytest.mark.parametrize(
    "change",
    [
        {"network": 3},
        {"configuration": ["resnet20"]},
        {"configuration": {"model": "foo"}},
        {"epoch": "1"},
        {"epoch": float("nan")},
        {"epoch": -5},
        {"epoch": True},
        {"seconds": float("inf")},
        {"seconds": -1.0},
        {"machine": None},
        {"recipe": {}},
    ],
)
def test_a_state_that_holds_something_else_is_one_sentence(tmp_path: Path, change: dict[str, Any]) -> None:
    learned(tmp_path, Run(NARROW, Recipe(**QUICK), name="mine"))
    file = tmp_path / "mine" / "last.pt"
    torch.save({**torch.load(file, weights_only=True), **change}, file)  # noqa: TID251
    with pytest.raises(CheckpointError, match=r"last\.pt cannot be read \(\w+\)\. Remove it to start anew\."):
        load_run(tmp_path / "mine")
    with pytest.raises(CheckpointError, match=r"last\.pt cannot be read"):
        find_start("mine", tmp_path)


@pytest.mark.parametrize(
    "text",
    ['{"recipe": {}, "plan": "own", "command": 5}', '{"recipe": {}, "plan": [], "command": ""}', "[" * 100_000, "3"],
    ids=["a number", "a list", "deep", "no table"],
)
def test_a_description_that_holds_something_else_is_one_sentence(tmp_path: Path, text: str) -> None:
    run = Run(NARROW, Recipe(**QUICK), name="mine")
    learned(tmp_path, run)
    (tmp_path / "mine" / "run.json").write_text(text)
    for use in (lambda: load_run(tmp_path / "mine"), lambda: learned(tmp_path, run)):
        with pytest.raises(CheckpointError, match=r"run\.json cannot be read\. Train the network again\."):
            use()


def test_a_run_of_an_earlier_version_is_one_sentence(tmp_path: Path) -> None:
    """Whose network had no slopes, say."""
    learned(tmp_path, Run(NARROW, Recipe(**QUICK), name="old"))
    file = tmp_path / "old" / "last.pt"
    state = torch.load(file, weights_only=True)  # noqa: TID251
    del state["network"]["slopes"]
    torch.save(state, file)
    with pytest.raises(CheckpointError, match=r"last\.pt does not fit: .*slopes.* Train the network again\."):
        load_run(tmp_path / "old")


def test_its_command_makes_it_again() -> None:
    run = Run(NARROW, Recipe(epochs=5, distill=0.5), name="mine", start="other", teacher="floats")
    assert run.command == (
        "cfcore train --method xnor --group-size 2 --width 0.25 --epochs 5 --distill 0.5 "
        "--start other --teacher floats --name mine"
    )


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"configuration": Configuration(weight_bits=2, activation_bits=2), "recipe": Recipe(scaling="learned")},
            r"scaling = 'learned' is not allowed: use fitted above one bit a weight\. Leave it out\.",
        ),
        ({"teacher": "floats"}, r"distill = 0\.0 is not allowed: use above 0 with --teacher"),
        ({"recipe": Recipe(distill=0.5)}, r"distill = 0\.5 is not allowed"),
        ({"configuration": Configuration(source="post-training")}, "source = 'post-training' is not allowed"),
    ],
)
def test_what_cannot_be_trained_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        Run(**{"configuration": NARROW, "recipe": Recipe(), **settings})


def test_it_begins_where_its_start_ended(tmp_path: Path) -> None:
    """With a learning rate of next to nothing the weights stay where they were."""
    before = learned(tmp_path, Run(NARROW, Recipe(**QUICK), name="base"))
    still = Recipe(**QUICK, learning_rate=1e-8, weight_decay=0.0)
    run = Run(NARROW.with_group_size("layer"), still, start="base")
    torch.testing.assert_close(learned(tmp_path, run)["convs.1.weight"], before["convs.1.weight"], rtol=0, atol=1e-5)
    command = json.loads((tmp_path / run.folder / "run.json").read_text())["command"]
    assert command == f"{Run(NARROW, Recipe(**QUICK), name='base').command} && {run.command}"


def test_a_teacher_changes_what_is_learned(tmp_path: Path) -> None:
    learned(tmp_path, Run(FLOAT, Recipe(**QUICK), name="floats"))
    alone = learned(tmp_path, Run(NARROW, Recipe(**QUICK), name="alone"))
    taught = learned(tmp_path, Run(NARROW, Recipe(**QUICK, distill=0.9), name="taught", teacher="floats"))
    assert not torch.equal(alone["convs.1.weight"], taught["convs.1.weight"])


@pytest.mark.parametrize("method", ["xnor", "binary-weight"])
def test_a_quantized_teacher_is_refused(tmp_path: Path, method: str) -> None:
    """Run as a float network its weights say nothing."""
    learned(tmp_path, Run(Configuration.of(method=method, width=0.25), Recipe(**QUICK), name="base"))
    run = Run(NARROW, Recipe(**QUICK, distill=0.5), teacher="base")
    said = r"^base is quantized, and would teach noise\. Name a float network\."
    for use in (lambda: run.check_starts(tmp_path), lambda: learned(tmp_path, run)):
        with pytest.raises(CheckpointError, match=said):
            use()


def test_a_run_that_has_begun_needs_its_start_no_more(tmp_path: Path) -> None:
    """Everything comes from last.pt, and the command from run.json."""
    learned(tmp_path, Run(NARROW, Recipe(**QUICK), name="base"))
    run = Run(NARROW, Recipe(**{**QUICK, "epochs": 2}), name="mine", start="base")
    for event in run.train(tmp_path, some(), some(8)):
        if event.accuracy is not None:
            break
    shutil.rmtree(tmp_path / "base")
    run.check_starts(tmp_path)
    learned(tmp_path, run)
    made = load_run(tmp_path / "mine")[1]
    assert made["command"] == f"{Run(NARROW, Recipe(**QUICK), name='base').command} && {run.command}"


def test_what_it_starts_from_has_to_be_there(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no trained network at"):
        learned(tmp_path, Run(NARROW, Recipe(**QUICK), start="missing"))
    assert list(tmp_path.iterdir()) == []


def test_a_batch_of_more_images_than_there_are_leaves_nothing(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="batch_size = 17 is not allowed: use at most 16"):
        learned(tmp_path, Run(NARROW, Recipe(batch_size=17)))
    assert list(tmp_path.iterdir()) == []
