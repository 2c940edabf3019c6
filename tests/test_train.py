"""cfcore.train: it learns, tells where it stands, can be stopped and resumed to the bit, and keeps to its recipe."""

import itertools
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from cfcore import runfiles
from cfcore import train as training
from cfcore.config import Configuration, Recipe
from cfcore.data import Images, normalise
from cfcore.errors import CfcoreError, CheckpointError
from cfcore.evaluate import evaluate
from cfcore.export import pack_network
from cfcore.models import Network, reestimate_batch_norm
from cfcore.starts import find_start
from cfcore.train import Event, train

IMAGES = 40
EASY = {"epochs": 2, "batch_size": 8, "learning_rate": 0.02, "precision": "fp32", "warmup": 0.1}


@pytest.fixture(autouse=True)
def _plain(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is compiled: that takes a minute and changes no result."""
    monkeypatch.setattr(training, "_compiled", lambda network: network)


def coloured(count: int = IMAGES, seed: int = 0) -> Images:
    """Ten colours with a little noise: a set that anything can learn."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 10
    colours = np.random.default_rng(99).integers(40, 216, (10, 1, 1, 3))
    pixels = colours[labels] + rng.integers(-20, 21, (count, 32, 32, 3))
    return Images(pixels.astype(np.uint8), labels)


def network(seed: int = 0, **settings: Any) -> Network:
    torch.manual_seed(seed)
    return Network(Configuration.of(**{"width": 0.25, "group_size": 3, **settings}))


def recipe(**settings: Any) -> Recipe:
    return Recipe(**{**EASY, **settings})


def run(net: Network, folder: Path, teacher: Network | None = None, **settings: Any) -> list[Event]:
    return list(train(net, recipe(**settings), coloured(), coloured(20, 1), folder, teacher))


def until_first_epoch(events: Iterator[Event]) -> None:
    """Take events up to the end of an epoch, then cancel."""
    while next(events).accuracy is None:
        pass
    events.close()  # type: ignore[attr-defined]


def state(net: Network) -> dict[str, Tensor]:
    return {name: values.clone() for name, values in net.state_dict().items()}


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> None:
    assert a.keys() == b.keys()
    for name, values in a.items():
        assert torch.equal(values, b[name]), name


# ---- learning --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "float"},
        {"method": "binary-weight"},
        {"method": "xnor"},
        {"method": "xnor", "weight_bits": 2, "activation_bits": 2, "order": "sorted"},
        {"model": "vgg_small", "method": "xnor", "width": 0.125},
    ],
    ids=lambda s: "-".join(map(str, s.values())),
)
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_the_loss_goes_down_on_an_easy_set(settings: dict[str, Any], optimizer: str, tmp_path: Path) -> None:
    rate = {"sgd": 0.05, "adam": 0.005}[optimizer]
    events = run(network(**settings), tmp_path, epochs=6, optimizer=optimizer, learning_rate=rate, weight_decay=0.0)
    by_epoch = [event.loss for event in events if event.accuracy is not None]
    assert by_epoch[-1] < by_epoch[0] - 0.2
    assert np.isfinite(by_epoch).all()


def test_events_tell_where_training_stands(tmp_path: Path) -> None:
    events = run(network(), tmp_path, epochs=3)
    assert [(e.epoch, e.step) for e in events] == [(epoch, step) for epoch in (1, 2, 3) for step in range(1, 6)]
    for event in events:
        assert (event.epochs, event.steps) == (3, IMAGES // 8)
        assert (event.accuracy is not None) == (event.step == event.steps)
        assert event.images_per_second > 0
        assert event.seconds_left >= 0
        assert np.isfinite(event.loss)
    assert events[-1].seconds_left == 0
    assert events[-1].to_dict()["accuracy"] == events[-1].accuracy


def test_what_is_left_over_from_whole_batches_is_another_each_epoch(tmp_path: Path) -> None:
    events = run(network(), tmp_path, batch_size=16, epochs=1)
    assert [e.step for e in events] == [1, 2]
    assert events[0].steps == IMAGES // 16


@pytest.mark.parametrize(
    "settings", [{}, {"method": "binary-weight"}, {"weight_bits": 2, "activation_bits": 2}], ids=str
)
def test_the_last_accuracy_is_that_of_the_stored_network(settings: dict[str, Any], tmp_path: Path) -> None:
    net = network(**settings)
    events = run(net, tmp_path)
    stored = evaluate(pack_network(net.eval()), coloured(20, 1), "simulated")
    assert abs(events[-1].accuracy - stored.accuracy) <= 100 / 20  # type: ignore[operator]


def test_the_final_statistics_are_those_of_the_training_images(tmp_path: Path) -> None:
    net = network()
    run(net, tmp_path)
    after = state(net)
    reestimate_batch_norm(net, normalise(coloured().pixels))
    for name, values in net.state_dict().items():
        torch.testing.assert_close(values, after[name], rtol=1e-4, atol=1e-4, msg=name)


def test_training_at_eight_bits_uses_more_than_a_few_levels(tmp_path: Path) -> None:
    """A step of 1 for activations of size 1 would make 8 bits a handful of levels: it has to be calibrated first."""
    net = network(weight_bits=8, activation_bits=8)
    run(net, tmp_path, epochs=1)
    net.eval()
    for conv in net.quantized_convs():
        conv.register_forward_pre_hook(
            lambda module, inputs: used.append(len(module.quantized_input(inputs[0]).unique()))
        )
    used: list[int] = []
    with torch.no_grad():
        net(normalise(coloured().pixels))
    assert min(used) > 32


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
]


@pytest.mark.parametrize(("settings", "how"), RESUMED, ids=str)
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(
    settings: dict[str, Any], how: dict[str, Any], tmp_path: Path
) -> None:
    """To the bit, from another initialisation: everything comes from last.pt."""
    whole = network(**settings)
    events = run(whole, tmp_path / "whole", **how)
    until_first_epoch(train(network(**settings), recipe(**how), coloured(), coloured(20, 1), tmp_path / "parts"))
    resumed = network(seed=77, **settings)
    rest = run(resumed, tmp_path / "parts", **how)
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


class Bomb:
    """A pickle that would run code."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


def spoil(file: Path, how: str) -> None:
    content = file.read_bytes() if file.is_file() else b""
    if how == "bomb":
        torch.save({"configuration": Bomb(file.with_name("ran"))}, file)
    elif how == "pickle":
        file.write_bytes(pickle.dumps(Bomb(file.with_name("ran"))))
    elif how == "other":
        torch.save([1, 2], file)
    else:
        file.write_bytes({"empty": b"", "cut": content[: len(content) // 2], "noise": b"noise" * 1000}[how])


SPOILT = ["empty", "cut", "noise", "other", "bomb", "pickle"]


@pytest.mark.parametrize("how", SPOILT)
def test_a_damaged_state_is_refused_and_not_run(how: str, tmp_path: Path) -> None:
    run(network(), tmp_path, epochs=1)
    spoil(tmp_path / "last.pt", how)
    with pytest.raises(CheckpointError, match=r"last\.pt cannot be read \(\w+\)\. Remove it to start anew\."):
        run(network(), tmp_path, epochs=1)
    assert not (tmp_path / "ran").exists()


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"precious")
    with pytest.raises(CheckpointError):
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


# ---- the recipe ------------------------------------------------------------------------------------------------


def test_activations_first_holds_the_weights_float_and_then_quantizes(tmp_path: Path) -> None:
    net = network(order="sorted")
    held: list[tuple[int, bool]] = []
    for event in train(net, recipe(epochs=4, activations_first=0.5), coloured(), coloured(20, 1), tmp_path):
        held += [(event.epoch, conv.weights_float) for conv in net.quantized_convs()]
    assert {epoch for epoch, is_held in held if is_held} == {1, 2}
    assert {epoch for epoch, is_held in held if not is_held} == {3, 4}


@pytest.mark.parametrize("share", [0.6, 1.0])
def test_training_always_ends_with_quantized_weights(share: float, tmp_path: Path) -> None:
    """Also where every epoch starts within the share: the accuracy reported must be that of the stored network."""
    net = network()
    run(net, tmp_path, activations_first=share)
    assert not any(conv.weights_float for conv in net.quantized_convs())


def test_the_latent_weights_stay_float_and_move(tmp_path: Path) -> None:
    net = network()
    before = state(net)
    run(net, tmp_path, epochs=1)
    for i, conv in enumerate(net.quantized_convs(), start=1):
        assert len(conv.weight.unique()) > 100
        assert not torch.equal(conv.weight, before[f"convs.{i}.weight"])


def first_loss(folder: Path, teacher: Network | None = None, **settings: Any) -> float:
    events = train(network(), recipe(**settings), coloured(), coloured(20, 1), folder, teacher)
    loss = next(events).loss
    events.close()  # type: ignore[attr-defined]
    return loss


def test_distilling_mixes_the_two_losses(tmp_path: Path) -> None:
    teacher = network(seed=4, method="float")
    before = state(teacher)
    labels, both, taught = (first_loss(tmp_path, teacher, distill=d) for d in (0.0, 0.25, 1.0))
    assert labels == first_loss(tmp_path)
    assert abs(taught - labels) > 1e-3
    assert both == pytest.approx(0.75 * labels + 0.25 * taught, rel=1e-5)
    same(state(teacher), before)


def test_distilling_is_the_cross_entropy_to_the_teachers_outputs() -> None:
    generator = torch.Generator().manual_seed(0)
    logits, target = (torch.randn(4, 10, generator=generator) for _ in range(2))
    probabilities = target.exp() / target.exp().sum(1, keepdim=True)
    log_softmax = logits - logits.exp().sum(1, keepdim=True).log()
    found = training._loss(
        lambda x: logits, torch.zeros(4), torch.zeros(4).long(), lambda x: target, recipe(distill=1.0)
    )
    torch.testing.assert_close(found, -(probabilities * log_softmax).sum(1).mean())


@pytest.mark.parametrize("warmup", [0.0, 1e-4, 0.15, 0.5, 1.0])
def test_the_learning_rate_rises_to_its_peak_and_falls_to_zero(warmup: float) -> None:
    rates = [training._schedule(i / 1000, recipe(warmup=warmup)) for i in range(1001)]
    top = rates.index(max(rates))
    assert all(0 <= rate <= 1 for rate in rates)
    assert max(rates) == pytest.approx(1, abs=2e-3)
    assert rates[: top + 1] == sorted(rates[: top + 1])
    assert rates[top:] == sorted(rates[top:], reverse=True)
    if warmup < 1:
        assert top == pytest.approx(1000 * warmup, abs=1)
        assert rates[-1] == pytest.approx(0, abs=1e-9)
        middle = (1 + warmup) / 2
        assert training._schedule(middle, recipe(warmup=warmup)) == pytest.approx(0.5)


def test_a_recipe_that_only_warms_up_can_be_trained(tmp_path: Path) -> None:
    assert len(run(network(), tmp_path, epochs=1, warmup=1.0)) == 5


def test_weights_decay_and_nothing_else() -> None:
    net = network(activation_bits=2)
    decayed, rest = training._optimiser(net, recipe(weight_decay=0.01)).param_groups
    assert (decayed["weight_decay"], rest["weight_decay"]) == (0.01, 0.0)
    weights = [m.weight for m in net.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    assert [id(p) for p in decayed["params"]] == [id(p) for p in weights]
    assert len(decayed["params"]) + len(rest["params"]) == len(list(net.parameters()))


def test_a_set_smaller_than_a_batch_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CfcoreError):
        run(network(), tmp_path, batch_size=IMAGES + 1)


def test_bf16_keeps_weights_and_statistics_in_float32(tmp_path: Path) -> None:
    net = network()
    run(net, tmp_path, epochs=1, precision="bf16")
    assert {values.dtype for values in net.state_dict().values()} == {torch.float32, torch.int64}


# ---- starting from another run ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def float_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Network]:
    folder = tmp_path_factory.mktemp("float")
    net = network(method="float")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_compiled", lambda network: network)
        run(net, folder, epochs=1)
    return folder, net


@pytest.mark.parametrize(
    "settings",
    [
        {"method": "float"},
        {"method": "binary-weight", "order": "sorted"},
        {"source": "post-training", "activation_bits": 4, "weight_bits": 2},
    ],
    ids=str,
)
def test_a_quantized_network_starts_from_the_float_one(
    settings: dict[str, Any], float_run: tuple[Path, Network]
) -> None:
    folder, start = float_run
    net = network(seed=77, **settings)
    find_start(folder.name, folder.parent).copy_to(net)
    learned = start.state_dict()
    for name, values in net.state_dict().items():
        if name in learned:
            assert torch.equal(values, learned[name]), name
    fitted = state(net)
    net.regroup()
    same(state(net), fitted)  # factors and groups fit the weights that were loaded


def test_one_group_size_starts_from_another(tmp_path: Path) -> None:
    start = network(group_size=1, order="sorted", activation_bits=2)
    run(start, tmp_path, epochs=1)
    net = network(seed=77, group_size=5, activation_bits=2)
    find_start(tmp_path.name, tmp_path.parent).copy_to(net)
    for (name, values), (_, learned) in zip(net.named_parameters(), start.named_parameters(), strict=True):
        assert torch.equal(values, learned), name  # the learned steps among them
    for conv in net.quantized_convs():
        assert conv.scales.shape == (-(-conv.out_channels // 5),)


@pytest.mark.parametrize("settings", [{"model": "resnet32"}, {"model": "vgg_small"}, {"width": 0.5}], ids=str)
def test_another_network_is_no_start(settings: dict[str, Any], float_run: tuple[Path, Network]) -> None:
    net = network(**settings)
    before = state(net)
    with pytest.raises(CheckpointError, match=r"last\.pt is of another network: it has no .*\. Start from the same"):
        find_start(float_run[0].name, float_run[0].parent).copy_to(net)
    same(state(net), before)


def test_an_unfinished_run_is_no_start(tmp_path: Path) -> None:
    run(network(), tmp_path / "half", epochs=1)
    file = tmp_path / "half" / "last.pt"
    state = runfiles.read_state(file)
    torch.save({**state, "recipe": {**state["recipe"], "epochs": 2}}, file.with_suffix(".new"))
    file.with_suffix(".new").replace(file)  # what was read lies in the old one
    with pytest.raises(CheckpointError, match="has done 1 of 2 epochs"):
        find_start("half", tmp_path)


def test_a_run_that_is_not_there_is_no_start(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"^There is no trained network at .*last\.pt\. Train it first"):
        find_start(tmp_path.name, tmp_path.parent).copy_to(network())


@pytest.mark.parametrize("how", SPOILT)
def test_a_damaged_run_is_no_start(how: str, tmp_path: Path) -> None:
    spoil(tmp_path / "last.pt", how)
    with pytest.raises(CheckpointError):
        find_start(tmp_path.name, tmp_path.parent).copy_to(network())
    assert not (tmp_path / "ran").exists()
