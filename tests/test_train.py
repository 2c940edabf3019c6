"""cfcore.train: it learns, tells where it stands, and keeps to its recipe."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from training import IMAGES, coloured, network, recipe, run, same, state

from cfcore import train as training
from cfcore.config import GroupSize
from cfcore.data import Augmenter, normalise
from cfcore.errors import ConfigError
from cfcore.evaluate import evaluate
from cfcore.export import pack_network
from cfcore.models import Network, reestimate_batch_norm
from cfcore.train import train

pytestmark = pytest.mark.usefixtures("nothing_compiled")


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


@pytest.mark.parametrize("group_size", [1, 3, "layer"])
def test_learned_scales_are_found_again(group_size: GroupSize, tmp_path: Path) -> None:
    net = network(method="xnor", group_size=group_size)
    run(net, tmp_path, epochs=2, optimizer="adam", learning_rate=0.005, weight_decay=0.0, scaling="learned")
    assert {name.split(".")[-1] for name, _ in net.named_parameters()} >= {"scales", "slopes"}
    learned = [conv.scales.detach().clone() for conv in net.quantized_convs()]
    stored = pack_network(net)
    net.regroup()  # as whatever starts from it does
    for conv, scales in zip(net.quantized_convs(), learned, strict=True):
        torch.testing.assert_close(conv.scales.detach(), scales)
    again = pack_network(net)
    assert all(np.allclose(values, again.tensors[name]) for name, values in stored.tensors.items())


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


def test_each_epoch_takes_every_image_at_most_once_in_another_order(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What whole batches leave over is another part of the images each time."""
    batch, taken = Augmenter.batch, list[int]()

    def watched(self: Augmenter, index: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        taken.extend(index.tolist())
        return batch(self, index, generator)

    monkeypatch.setattr(Augmenter, "batch", watched)
    events = run(network(), tmp_path, batch_size=16, epochs=2)
    assert [e.step for e in events] == [1, 2, 1, 2]
    first, second = taken[:32], taken[32:]
    assert len(set(first)) == len(set(second)) == 32 < IMAGES
    assert set(first) != set(second)
    assert first != sorted(first)


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
    with pytest.raises(ConfigError, match=r"^batch_size = 41 is not allowed: use at most 40, the training images\."):
        run(network(), tmp_path, batch_size=IMAGES + 1)


def test_bf16_keeps_weights_and_statistics_in_float32(tmp_path: Path) -> None:
    net = network()
    run(net, tmp_path, epochs=1, precision="bf16")
    assert {values.dtype for values in net.state_dict().values()} == {torch.float32, torch.int64}
