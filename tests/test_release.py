"""From a finished run to a shipped file: nothing is replaced before it is counted."""

import json
import shutil
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from cfcore import manifest, release, runfiles, train
from cfcore.config import Configuration, Recipe
from cfcore.errors import Cancelled, CheckpointError
from cfcore.evaluate import Evaluation, evaluate
from cfcore.images import Images, load_test_set
from cfcore.models import Network
from cfcore.options import spelled

CONFIGURATION = Configuration(width=0.25, group_size=2)
RECIPE = Recipe(epochs=1, batch_size=8, precision="fp32", seed=3)
COMMAND = spelled("train", CONFIGURATION, RECIPE)


@pytest.fixture
def images(monkeypatch: pytest.MonkeyPatch) -> Images:
    few = load_test_set().first(50)
    monkeypatch.setattr(release, "load_test_set", lambda: few)
    monkeypatch.setattr(train, "_compiled", lambda network: network)
    return few


@pytest.fixture
def run(tmp_path: Path, images: Images) -> Path:
    """A finished run of one epoch over 16 images."""
    folder = tmp_path / "run"
    runfiles.describe(folder, RECIPE, COMMAND)
    few = Images(images.pixels[:16], images.labels[:16])
    assert [e.epoch for e in train.train(Network(CONFIGURATION), RECIPE, few, images, folder)][-1] == 1
    return folder


def test_the_row_is_what_was_counted_with_the_file(run: Path, tmp_path: Path, images: Images) -> None:
    entry = release.release([run], tmp_path / "to")
    assert manifest.entries(tmp_path / "to") == [entry]
    assert (entry.epochs, entry.command, entry.seeds) == (1, COMMAND, {"3": entry.accuracy})
    network = manifest.load(entry, tmp_path / "to")
    assert network.configuration == CONFIGURATION
    again = release.evaluate(network, images)
    assert again.accuracy == entry.accuracy
    assert np.isin(again.predictions, range(10)).all()
    assert sorted(p.name for p in (tmp_path / "to").iterdir()) == ["manifest.json", "manifest.lock", entry.file]


def test_a_file_that_exists_is_kept_unless_allowed(run: Path, tmp_path: Path) -> None:
    entry = release.release([run], tmp_path / "to")
    with pytest.raises(CheckpointError, match=r"exists already\. Choose another folder, or allow overwriting\."):
        release.release([run], tmp_path / "to")
    assert release.release([run], tmp_path / "to", overwrite=True) == entry


def test_so_is_one_of_another_name(run: Path, tmp_path: Path, images: Images) -> None:
    """m = 16, as many as the widest layer has filters, and layer-wise are one network, and stand in one row."""
    here, recipe = tmp_path / "to", Recipe(epochs=1, batch_size=8, precision="fp32")
    folders = []
    for group_size in ("layer", 16):
        configuration = CONFIGURATION.with_group_size(group_size)
        folders.append(tmp_path / configuration.name)
        runfiles.describe(folders[-1], recipe, spelled("train", configuration, recipe))
        few = Images(images.pixels[:16], images.labels[:16])
        list(train.train(Network(configuration), recipe, few, images, folders[-1]))
    first = release.release(folders[:1], here)
    with pytest.raises(CheckpointError, match=rf"{first.file} exists already\. Choose another folder"):
        release.release(folders[1:], here)
    second = release.release(folders[1:], here, overwrite=True)
    assert manifest.entries(here) == [second]
    assert [file.name for file in here.glob("*.safetensors")] == [second.file] != [first.file]


def test_two_at_once_leave_a_file_and_its_row(run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two runs of one seed: while the first is counted, the second waits, and is then refused."""
    other, here = tmp_path / "other", tmp_path / "to"
    shutil.copytree(run, other)
    state = torch.load(other / "last.pt", weights_only=True)  # noqa: TID251 - our own file
    state["network"]["head.bias"] += 100 * torch.eye(10)[0]  # says airplane to everything
    torch.save(state, other / "last.pt")
    counting, goes_on = threading.Event(), threading.Event()

    def slowly(*given: Any, **more: Any) -> Evaluation:
        counting.set()
        goes_on.wait(30)
        return evaluate(*given, **more)

    monkeypatch.setattr(release, "evaluate", slowly)
    with ThreadPoolExecutor(2) as both:
        first = both.submit(release.release, [run], here)
        assert counting.wait(30)
        second = both.submit(release.release, [other], here)
        with pytest.raises(TimeoutError):
            second.result(0.3)
        goes_on.set()
        entry = first.result()
        with pytest.raises(CheckpointError, match="exists already"):
            second.result()
    assert manifest.entries(here) == [entry]
    counted = evaluate(manifest.load(entry, here), load_test_set().first(50))
    assert counted.accuracy == entry.accuracy


def test_stopping_the_count_replaces_nothing(run: Path, tmp_path: Path) -> None:
    entry = release.release([run], tmp_path / "to")

    def stop(share: float) -> None:
        raise Cancelled("Stopped.")

    with pytest.raises(Cancelled):
        release.release([run], tmp_path / "to", overwrite=True, progress=stop)
    manifest.verified(entry, tmp_path / "to")
    assert len(list((tmp_path / "to").iterdir())) == 3  # manifest, its lock, the network


def test_a_list_that_cannot_be_written_replaces_nothing(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = release.release([run], tmp_path / "to")
    before = {file.name: file.read_bytes() for file in (tmp_path / "to").iterdir()}

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(CheckpointError, match=r"to/manifest\.json could not be written: No space left on device"):
        release.release([run], tmp_path / "to", overwrite=True)
    assert {file.name: file.read_bytes() for file in (tmp_path / "to").iterdir()} == before
    manifest.verified(entry, tmp_path / "to")


def test_a_second_run_does_not_rewrite_what_the_first_says(run: Path) -> None:
    runfiles.describe(run, Recipe(epochs=5, seed=7), COMMAND, plan="short")
    with pytest.raises(CheckpointError, match="run holds another run: cfcore train"):
        runfiles.describe(run, RECIPE, "cfcore train --epochs 5")
    assert json.loads((run / "run.json").read_text())["command"] == COMMAND


def test_a_run_is_described_after_the_one_it_starts_from(run: Path, tmp_path: Path) -> None:
    runfiles.describe(tmp_path / "next", RECIPE, "cfcore train --start run", before=COMMAND)
    assert (
        json.loads((tmp_path / "next" / "run.json").read_text())["command"] == f"{COMMAND} && cfcore train --start run"
    )


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda run: (run / "last.pt").write_bytes(b"nonsense"), "last.pt cannot be read"),
        (lambda run: (run / "run.json").write_text("{"), "run.json cannot be read"),
        (lambda run: (run / "run.json").write_text("{}"), "run.json cannot be read"),
        (lambda run: (run / "last.pt").unlink(), "There is no training run in"),
        (lambda run: _describe_otherwise(run), "run.json describes another run"),
    ],
)
def test_a_damaged_run_is_refused(run: Path, tmp_path: Path, damage, said: str) -> None:
    damage(run)
    with pytest.raises(CheckpointError, match=said):
        release.release([run], tmp_path / "to")
    assert not (tmp_path / "to").exists()


def _describe_otherwise(run: Path) -> None:
    described = json.loads((run / "run.json").read_text())
    described["recipe"]["epochs"] = 400
    (run / "run.json").write_text(json.dumps(described))
