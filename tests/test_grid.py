"""cfcore.grid: what does not ship yet is trained, in order, once, and goes on where it was killed."""

import itertools
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from filelock import FileLock

from cfcore import families, manifest, release, runfiles, starts, train
from cfcore.config import Configuration, Recipe
from cfcore.errors import CheckpointError, ConfigError
from cfcore.families import Family
from cfcore.grid import Grid, Step
from cfcore.images import Images, load_test_set
from cfcore.runs import Run

NARROW = Configuration(width=0.0625, group_size=1)
FLOAT = NARROW.float_reference
ONE = Recipe(epochs=1, batch_size=8, precision="fp32", learning_rate=0.01)
TWO = replace(ONE, epochs=2)
SMALL = (
    Family(FLOAT, {"short": (ONE, ONE), "long": (TWO,)}),
    Family(
        NARROW,
        {"short": (ONE, replace(ONE, distill=0.5)), "long": (TWO,)},
        {"short": ONE, "long": TWO},
        groups=(1, "layer"),
        repeated=("layer",),
    ),
    Family(
        replace(NARROW, activation_bits=2),
        {"short": (ONE,), "long": (TWO,)},
        {"short": ONE, "long": TWO},
        groups=(2,),
        sorted=(2,),
    ),
)
FLOAT_RUN = Run(FLOAT, TWO, plan="long")
ORDER = [
    "resnet20-x0.0625-float-1",
    "resnet20-x0.0625-float",
    "resnet20-x0.0625-xnor-w1a1-m1-base-1",
    "resnet20-x0.0625-xnor-w1a1-m1-base",
    "resnet20-x0.0625-xnor-w1a1-m1",
    "resnet20-x0.0625-xnor-w1a1-layer",
    "resnet20-x0.0625-xnor-w1a1-layer-seed1",
    "resnet20-x0.0625-xnor-w1a1-layer-seed2",
    "resnet20-x0.0625-xnor-w1a2-m1-base",
    "resnet20-x0.0625-xnor-w1a2-m2",
    "resnet20-x0.0625-xnor-w1a2-m2-sorted",
]


@pytest.fixture(autouse=True)
def _small(monkeypatch: pytest.MonkeyPatch) -> None:
    few = load_test_set().first(20)
    monkeypatch.setattr(release, "load_test_set", lambda: few)
    monkeypatch.setattr(train, "_compiled", lambda network: network)
    monkeypatch.setattr(families, "FAMILIES", SMALL)


def images() -> Images:
    rng = np.random.default_rng(0)
    return Images(rng.integers(0, 256, (16, 32, 32, 3), dtype=np.uint8), np.arange(16) % 10)


def grid(folder: Path, plan: str = "short", only: str = "") -> Grid:
    return Grid(plan, folder / "runs", folder / "to", only)


def work(one: Grid) -> Iterator[Step]:
    return one.train(images(), images(), wait=lambda seconds: pytest.fail("it waits for nobody"))


def done(one: Grid, name: str) -> int:
    return int(runfiles.read_state(one.folder / name / "last.pt")["epoch"])


def order(steps: Iterator[Step]) -> list[str]:
    return [name for name, _ in itertools.groupby(step.run.folder for step in steps)]


def test_it_trains_each_after_its_start_and_ships_all(tmp_path: Path) -> None:
    one = grid(tmp_path)
    assert [run.folder for run in one.todo()] == ORDER
    steps = list(work(one))
    assert order(iter(steps)) == ORDER
    assert steps[-1].seconds_left == 0
    assert steps[0].runs_left == len(ORDER)
    assert steps[0].seconds_left > steps[0].event.seconds_left
    shipped = {e.configuration.name: e for e in manifest.entries(one.to)}
    assert set(shipped) == {name for name in ORDER if "base" not in name and "seed" not in name} - {ORDER[0]}
    assert one.todo() == one.open_cells() == []
    for entry in shipped.values():
        manifest.verified(entry, one.to)
        assert (entry.plan, entry.epochs) == ("short", 1)
        assert entry.seconds is not None
        assert entry.machine == train.machine_name("cpu")
    assert sorted(f.name for f in (one.to / "latent").iterdir()) == [
        f"{ORDER[3]}.safetensors",
        f"{ORDER[8]}.safetensors",
    ]


def test_a_row_ships_whole(tmp_path: Path) -> None:
    """A sibling beside one of another plan would be compared with it."""
    one, row = grid(tmp_path), ORDER[4:8]
    for step in work(one):
        there = {file.stem for file in one.to.glob("*.safetensors")} & set(row)
        assert not there or step.run.folder not in row[:-1]
    assert there == {row[0], row[1]}


def test_a_part_of_a_row_waits_for_the_rest(tmp_path: Path) -> None:
    one = grid(tmp_path, only=ORDER[5])
    assert order(work(one))[-3:] == ORDER[5:8]
    assert [cell.network.name for cell in one.open_cells()] == [ORDER[5]]
    assert not list(one.to.glob("*.safetensors"))
    rest = grid(tmp_path, only=ORDER[4])
    assert order(work(rest)) == [ORDER[4]]
    assert sorted(file.stem for file in one.to.glob("*.safetensors")) == sorted(ORDER[4:6])


def test_a_run_that_has_begun_needs_its_start_no_more(tmp_path: Path) -> None:
    one = grid(tmp_path, "long", FLOAT.name)
    names = [run.folder for run in grid(tmp_path, "long").todo()]
    many = grid(tmp_path, "long")
    for step in work(many):
        if step.run.folder == names[1] and step.event.accuracy is not None:
            break
    shutil.rmtree(many.folder / FLOAT.name)
    for file in one.to.glob("*"):
        file.unlink(missing_ok=True)
    assert [run.folder for run in grid(tmp_path, "long", NARROW.name).todo()] == names[1:3]


def test_of_several_seeds_the_median_ships(tmp_path: Path) -> None:
    one = grid(tmp_path, only=NARROW.name[:-3])
    list(work(one))
    (entry,) = [e for e in manifest.entries(one.to) if e.configuration.group_size == "layer"]
    assert set(entry.seeds) == {"0", "1", "2"}
    assert entry.accuracy == sorted(entry.seeds.values())[1]


def test_only_what_is_missing_is_trained(tmp_path: Path) -> None:
    one = grid(tmp_path)
    list(work(one))
    (one.to / f"{ORDER[4]}.safetensors").unlink()
    fresh = Grid("short", tmp_path / "elsewhere", one.to)  # the runs are gone: it starts from what ships
    assert order(work(fresh)) == [ORDER[4]]
    command = next(e.command for e in manifest.entries(one.to) if e.configuration.name == ORDER[4])
    names = [line.split("--name ")[-1] for line in command.split(" && ")]
    assert (names[0], *names[2:4]) == (ORDER[0], ORDER[2], ORDER[3])  # the float network itself has no other name


def test_the_first_run_of_a_base_ships_until_the_next_is_done(tmp_path: Path) -> None:
    one = grid(tmp_path)
    steps = work(one)
    assert ORDER[3] in itertools.islice((name for name, _ in itertools.groupby(s.run.folder for s in steps)), 4)
    steps.close()  # type: ignore[attr-defined]
    latent = one.to / "latent"
    assert [file.stem for file in latent.iterdir()] == [ORDER[2]]
    elsewhere = Grid("short", tmp_path / "elsewhere", one.to)
    assert [run.folder for run in elsewhere.todo()][:2] == [ORDER[3], ORDER[4]]
    list(work(elsewhere))
    assert {file.stem for file in latent.iterdir()} == {ORDER[3], ORDER[8]}


def test_a_long_plan_replaces_a_short_one_and_not_the_other_way(tmp_path: Path) -> None:
    list(work(grid(tmp_path, only=FLOAT.name)))
    assert [run.folder for run in grid(tmp_path, "long", FLOAT.name).todo()] == [FLOAT.name]
    list(work(grid(tmp_path, "long", FLOAT.name)))
    (entry,) = manifest.entries(tmp_path / "to")
    assert (entry.plan, entry.epochs) == ("long", 2)
    assert grid(tmp_path, only=FLOAT.name).todo() == []


def test_two_processes_share_the_work(tmp_path: Path) -> None:
    """What another has locked is left to it; what starts from that has to wait."""
    one, waits = grid(tmp_path), []
    one.folder.mkdir(parents=True)

    def wait(seconds: float) -> None:
        waits.append(seconds)
        lock.release()

    lock = FileLock(one.folder / f"{ORDER[3]}.lock")
    lock.acquire()
    trained = order(one.train(images(), images(), wait=wait))
    assert trained == [*ORDER[:3], *ORDER[8:], *ORDER[3:8]]
    assert len(waits) == 1
    assert sorted(trained) == sorted(ORDER)


def test_a_run_of_another_recipe_is_not_taken_for_this_plans(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither a finished one is shipped nor an unfinished one gone on with."""
    one = grid(tmp_path, "long", FLOAT.name)
    list(FLOAT_RUN.train(one.folder, images(), images(), "cpu", one.to))
    changed = replace(SMALL[0], base={"long": (replace(TWO, learning_rate=0.02),)})
    monkeypatch.setattr(families, "FAMILIES", (changed,))
    with pytest.raises(CheckpointError, match=r"last\.pt belongs to another configuration or recipe"):
        list(work(one))
    assert not (one.to / "manifest.json").exists()


def test_closing_it_keeps_the_epochs_done(tmp_path: Path) -> None:
    one = grid(tmp_path, "long", FLOAT.name)
    steps = work(one)
    for step in steps:
        if step.event.accuracy is not None:
            break
    steps.close()  # type: ignore[attr-defined]
    assert done(one, FLOAT.name) == 1
    again = list(work(one))
    assert {step.event.epoch for step in again} == {2}


KILLED = """
import sys
from pathlib import Path
sys.path.insert(0, {tests!r})
import pytest, test_grid
from cfcore import families, release, train
{more}
few = test_grid.load_test_set().first(20)
release.load_test_set = lambda: few
train._compiled = lambda network: network
families.FAMILIES = test_grid.SMALL
grid = test_grid.Grid("long", Path({runs!r}), Path({to!r}))
for step in grid.train(test_grid.images(), test_grid.images()):
    print(step.run.folder, step.event.epoch, flush=True)
"""


CUT = """
import contextlib, os, signal
from cfcore import files, manifest
@contextlib.contextmanager
def cut(file):
    with files.whole(file) as partial:
        yield partial
        os.kill(os.getpid(), signal.SIGKILL)
manifest.whole = cut
"""


def killed(one: Grid, lines: int, more: str = "") -> list[list[str]]:
    """What a grid printed before it was killed, which is soon after so many lines."""
    code = KILLED.format(tests=str(Path(__file__).parent), runs=str(one.runs), to=str(one.to), more=more)
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[1])}
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert process.stdout is not None
    seen = [line.split() for line in itertools.islice(process.stdout, lines)]
    time.sleep(0.2 * np.random.default_rng(time.time_ns()).random())
    process.send_signal(signal.SIGKILL)
    seen += [line.split() for line in process.stdout]
    assert process.wait() == -signal.SIGKILL
    process.stdout.close()
    return seen


def test_killed_at_a_random_moment_it_loses_the_running_epoch_at_most(tmp_path: Path) -> None:
    one = grid(tmp_path, "long")
    known = one.todo()
    seen = killed(one, int(np.random.default_rng(time.time_ns()).integers(1, 24)))
    name, epoch = seen[-1][0], int(seen[-1][1])
    kept = next(run for run in known if run.folder == name)
    assert runfiles.epochs_done(one.folder / name, kept.recipe) in (epoch - 1, epoch)
    list(work(one))
    assert one.todo() == one.open_cells() == []
    for entry in manifest.entries(one.to):
        manifest.verified(entry, one.to)


def test_killed_between_a_file_and_its_row_it_ships_both(tmp_path: Path) -> None:
    one = grid(tmp_path, "long")
    killed(one, 100, CUT)
    assert len(list(one.to.glob("*.safetensors"))) == 1
    assert not (one.to / "manifest.json").exists()
    list(work(one))
    assert one.todo() == one.open_cells() == []
    for entry in manifest.entries(one.to):
        manifest.verified(entry, one.to)


def test_a_full_disk_ends_with_a_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*args: object, **settings: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(runfiles.torch, "save", full)
    with pytest.raises(CheckpointError, match=r"could not be written to .*No space left on device.*Free some space\."):
        list(work(grid(tmp_path)))


def test_a_name_that_begins_no_network_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^only = 'alexnet' is not allowed: use the beginning of a network's name"):
        grid(tmp_path, only="alexnet").todo()


def test_damaged_latent_weights_are_said_so(tmp_path: Path) -> None:
    one = grid(tmp_path, only=ORDER[9])
    file = starts.latent_file(ORDER[8], one.to)
    file.parent.mkdir(parents=True)
    file.write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match=r"is damaged .*\. Restore it\."):
        one.todo()
