"""cfcore.train: a run is the same from its seed, and can be stopped and resumed to the bit."""

import itertools
from pathlib import Path
from typing import Any

import pytest
import torch
from training import SPOILT, coloured, network, recipe, run, same, spoil, state, until_first_epoch

from cfcore.errors import CheckpointError
from cfcore.train import train

pytestmark = pytest.mark.usefixtures("nothing_compiled")


# ---- reproducing, stopping, resuming ---------------------------------------------------------------------------


def test_the_seed_reproduces(tmp_path: Path) -> None:
    nets = [network() for _ in range(3)]
    events = [run(net, tmp_path / str(i), seed=seed) for i, (net, seed) in enumerate(zip(nets, (5, 5, 6), strict=True))]
    same(state(nets[0]), state(nets[1]))
    assert [e.loss for e in events[0]] == [e.loss for e in events[1]]
    assert [e.loss for e in events[0]] != [e.loss for e in events[2]]


RESUMED: list[tuple[dict[str, Any], dict[str, Any]]] = [
    ({"method": "float"}, {}),
    ({}, {}),
    ({"weight_bits": 2, "activation_bits": 2, "order": "sorted"}, {"optimizer": "adam", "learning_rate": 0.002}),
    ({"order": "sorted"}, {"activations_first": 0.5}),
    ({"weight_bits": 2, "order": "sorted"}, {"activations_first": 0.5}),
    ({"order": "sorted"}, {"activations_first": 0.34, "epochs": 3}),
    ({}, {"scaling": "learned", "optimizer": "adam", "learning_rate": 0.002}),
    ({}, {"distill": 0.5}),
]


@pytest.mark.parametrize(("settings", "how"), RESUMED, ids=str)
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    settings: dict[str, Any], how: dict[str, Any], tmp_path: Path
) -> None:
    """To the bit, from another initialisation: everything comes from last.pt, the teacher apart."""
    whole, teacher = network(**settings), network(seed=4, method="float") if "distill" in how else None
    events = run(whole, tmp_path / "whole", teacher, **how)
    parts = train(network(**settings), recipe(**how), coloured(), coloured(20, 1), tmp_path / "parts", teacher)
    until_first_epoch(parts)
    resumed = network(seed=77, **settings)
    rest = run(resumed, tmp_path / "parts", teacher, **how)
    same(state(resumed), state(whole))
    assert [(e.epoch, e.loss, e.accuracy) for e in rest] == [
        (e.epoch, e.loss, e.accuracy) for e in events if e.epoch > 1
    ]


def test_a_run_stopped_within_an_epoch_goes_on_from_its_start(tmp_path: Path) -> None:
    whole = network()
    run(whole, tmp_path / "whole")
    events = train(network(), recipe(), coloured(), coloured(20, 1), tmp_path / "parts")
    for _ in itertools.islice(events, 7):
        pass
    events.close()  # type: ignore[attr-defined]
    resumed = network(seed=77)
    assert run(resumed, tmp_path / "parts")[0].epoch == 2
    same(state(resumed), state(whole))


def test_a_run_stopped_before_its_first_epoch_leaves_nothing(tmp_path: Path) -> None:
    events = train(network(), recipe(), coloured(), coloured(20, 1), tmp_path / "a")
    next(events)
    events.close()  # type: ignore[attr-defined]
    assert not (tmp_path / "a" / "last.pt").exists()


def test_a_finished_run_is_only_read(tmp_path: Path) -> None:
    whole = network()
    run(whole, tmp_path)
    before = (tmp_path / "last.pt").read_bytes()
    again = network(seed=77)
    assert run(again, tmp_path) == []
    same(state(again), state(whole))
    assert (tmp_path / "last.pt").read_bytes() == before
    assert [f.name for f in tmp_path.iterdir()] == ["last.pt"]


@pytest.mark.parametrize("change", [{"group_size": 4}, {"weight_bits": 2}, {"order": "sorted"}, {"input_scale": True}])
def test_the_state_of_another_configuration_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    run(network(), tmp_path, epochs=1)
    with pytest.raises(CheckpointError, match=r"last\.pt belongs to another configuration or recipe\. Choose another"):
        run(network(**change), tmp_path, epochs=1)


@pytest.mark.parametrize("change", [{"epochs": 3}, {"learning_rate": 0.03}, {"seed": 1}, {"optimizer": "adam"}])
def test_the_state_of_another_recipe_is_refused(change: dict[str, Any], tmp_path: Path) -> None:
    run(network(), tmp_path, epochs=1)
    net = network()
    before = state(net)
    with pytest.raises(CheckpointError, match="belongs to another configuration or recipe"):
        run(net, tmp_path, **{"epochs": 1, **change})
    same(state(net), before)


@pytest.mark.parametrize("how", SPOILT)
def test_a_damaged_state_is_refused_and_not_run(how: str, tmp_path: Path) -> None:
    run(network(), tmp_path, epochs=1)
    spoil(tmp_path / "last.pt", how)
    with pytest.raises(CheckpointError, match=r"last\.pt cannot be read \(\w+\)\. Remove it to start anew\."):
        run(network(), tmp_path, epochs=1)
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"precious")
    with pytest.raises(CheckpointError, match=r"could not be written to .*file: .*\. Free some space\."):
        run(network(), tmp_path / "file", epochs=1)
    assert (tmp_path / "file").read_bytes() == b"precious"


def test_a_failed_write_keeps_the_last_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    until_first_epoch(train(network(), recipe(), coloured(), coloured(20, 1), tmp_path))
    before = (tmp_path / "last.pt").read_bytes()

    def full(state: object, file: Path) -> None:
        file.write_bytes(b"half")
        raise RuntimeError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(torch, "save", full)
        with pytest.raises(CheckpointError, match="could not be written"):
            run(network(), tmp_path)
    assert (tmp_path / "last.pt").read_bytes() == before
    assert [f.name for f in tmp_path.iterdir()] == ["last.pt"]
