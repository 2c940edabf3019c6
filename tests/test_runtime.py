"""cfcore.runtime: a network on packed bits gives what the float arithmetic on its quantized values gives."""

import threading
from typing import Any

import numpy as np
import pytest
import torch

from cfcore.checkpoint import Checkpoint
from cfcore.config import Configuration
from cfcore.data import normalise
from cfcore.errors import ConfigError, DataError
from cfcore.export import pack_network, unpack_network
from cfcore.models import Network, reestimate_batch_norm
from cfcore.runtime import PackedNetwork


def pictures(count: int, seed: int = 0) -> torch.Tensor:
    coarse = np.random.default_rng(seed).integers(0, 256, (count, 8, 8, 3), dtype=np.uint8)
    return normalise(coarse.repeat(4, axis=1).repeat(4, axis=2))


def stored(seed: int = 0, **settings: Any) -> Checkpoint:
    torch.manual_seed(seed)
    net = Network(Configuration.of(**{"width": 0.25, "group_size": 3, **settings}))
    generator = torch.Generator().manual_seed(seed)
    for norm in net.norms:
        norm.weight.data.copy_(torch.rand(norm.weight.shape, generator=generator) - 0.25)  # some scales below 0
        norm.bias.data.copy_(torch.randn(norm.bias.shape, generator=generator) * 0.2)
    for conv in net.quantized_convs():
        if hasattr(conv, "step"):
            conv.step.data.copy_(torch.rand((), generator=generator) * 0.2 + 3 / 2**net.configuration.activation_bits)
    if net.architecture.slopes:
        net.slopes.data.copy_(torch.linspace(-0.5, 1.5, len(net.slopes)))
    reestimate_batch_norm(net, pictures(8, seed))
    return pack_network(net.eval())


def both(checkpoint: Checkpoint, images: torch.Tensor) -> tuple[np.ndarray, np.ndarray]:
    """Logits packed and simulated."""
    packed = PackedNetwork(checkpoint)(images.permute(0, 2, 3, 1).contiguous().numpy())
    with torch.no_grad():
        return packed, unpack_network(checkpoint)(images).numpy()


KINDS: list[dict[str, Any]] = [
    {"model": model, "weight_bits": w, "activation_bits": a, "order": order, "group_size": m, "source": source}
    for model, source in (("resnet20", "trained"), ("resnet20", "post-training"), ("vgg_small", "trained"))
    for (w, a), order, m in (
        ((1, 1), "index", 3),
        ((2, 2), "sorted", 3),
        ((3, 5), "index", "layer"),
        ((8, 8), "sorted", 5),
    )
]


@pytest.mark.parametrize("settings", KINDS, ids=lambda s: "-".join(map(str, s.values())))
def test_packed_is_simulated(settings: dict[str, Any]) -> None:
    """The counts are exact; the float sums are not, so activations at a threshold may go either way, in few images."""
    packed, simulated = both(stored(**settings), pictures(24, seed=1))
    assert packed.shape == (24, 10)
    assert packed.dtype == np.float32
    size = np.abs(simulated).max()
    difference = np.abs(packed - simulated).max(1) / size
    assert np.median(difference) < 1e-4
    assert (difference < 1e-4).mean() > (0.8 if settings["weight_bits"] < 3 else 0.5)
    assert difference.max() < 0.1


@pytest.mark.parametrize("source", ["trained", "post-training"])
def test_predictions_of_many_random_networks_agree(source: str) -> None:
    agree = total = 0
    for seed in range(8):
        bits = {"weight_bits": seed % 3 + 1, "activation_bits": seed % 4 + 1, "source": source}
        packed, simulated = both(stored(seed, **bits), pictures(32, seed + 50))
        top = np.sort(simulated, 1)
        clear = top[:, -1] - top[:, -2] > 1e-3 * np.abs(simulated).max()  # no tie for first place
        agree += int((packed.argmax(1) == simulated.argmax(1))[clear].sum())
        total += int(clear.sum())
    assert total > 200
    assert agree >= 0.999 * total


@pytest.mark.parametrize("model", ["resnet32", "vgg_small"])
def test_widths_that_fill_no_word(model: str) -> None:
    width = 0.1875 if model == "resnet32" else 0.2578125  # 3, 6, 12 filters; 33, 66, 132
    packed, simulated = both(stored(model=model, width=width, activation_bits=2), pictures(4, seed=1))
    np.testing.assert_allclose(packed, simulated, rtol=0, atol=1e-3 * np.abs(simulated).max())


def test_an_image_does_not_depend_on_its_batch() -> None:
    network = PackedNetwork(stored())
    images = pictures(5, seed=1).permute(0, 2, 3, 1).contiguous().numpy()
    together = network(images)
    for i in range(5):
        np.testing.assert_array_equal(network(images[i : i + 1]), together[i : i + 1])


def test_images_in_any_memory_order() -> None:
    network = PackedNetwork(stored())
    images = pictures(3, seed=1).permute(0, 2, 3, 1).numpy()
    before = images.copy()
    np.testing.assert_allclose(network(np.asfortranarray(images)), network(images), rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(images, before)


@pytest.mark.parametrize("threads", [1, 2, 3])
@pytest.mark.parametrize("model", ["resnet20", "vgg_small"])
def test_threads_share_the_images(model: str, threads: int) -> None:
    checkpoint, images = stored(model=model), pictures(7, seed=1).permute(0, 2, 3, 1).contiguous().numpy()
    expected = PackedNetwork(checkpoint)(images)
    shared = PackedNetwork(checkpoint, threads)
    for count in (1, 2, 7):
        np.testing.assert_array_equal(shared(images[:count]), expected[:count])


@pytest.mark.parametrize("threads", [1, 2])
def test_eight_callers_at_once(threads: int) -> None:
    """A thousand calls: no caller sees another's images, and memory is taken for eight at most."""
    network = PackedNetwork(stored(), threads)
    images = [pictures(3, seed=s).permute(0, 2, 3, 1).contiguous().numpy() for s in range(8)]
    expected = [network(batch) for batch in images]
    wrong: list[int] = []

    def call(i: int) -> None:
        for _ in range(125):
            if not np.array_equal(network(images[i]), expected[i]):
                wrong.append(i)

    callers = [threading.Thread(target=call, args=(i,)) for i in range(8)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong
    assert len(network._idle) <= 8 * threads


@pytest.mark.parametrize(
    "shape", [(32, 32, 3), (1, 3, 32, 32), (1, 32, 32), (1, 32, 32, 1), (1, 28, 28, 3), (1, 32, 31, 3)]
)
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError) as error:
        PackedNetwork(stored())(np.zeros(shape, np.float32))
    assert str(error.value) == f"Images of shape {shape} do not fit: this network takes [N, 32, 32, 3]."


@pytest.mark.parametrize(("images", "kind"), [(None, "NoneType"), ([[1.0]], "list"), ("a.png", "str")])
def test_anything_but_an_array_is_refused(images: Any, kind: str) -> None:
    with pytest.raises(DataError) as error:
        PackedNetwork(stored())(images)
    assert str(error.value) == f"Images of type {kind} do not fit: give a float32 array [N, 32, 32, 3]."


def test_no_images_give_no_logits() -> None:
    assert PackedNetwork(stored())(np.zeros((0, 32, 32, 3), np.float32)).shape == (0, 10)


@pytest.mark.parametrize("dtype", [np.float64, np.uint8])
def test_other_types_are_refused(dtype: type) -> None:
    """Raw pixels are not normalised images: silence would be wrong predictions."""
    with pytest.raises(DataError, match="do not fit: normalise them to float32 first"):
        PackedNetwork(stored())(np.full((1, 32, 32, 3), 2, dtype))


@pytest.mark.parametrize(
    "settings",
    [{"method": "float"}, {"method": "binary-weight"}, {"input_scale": True}],
    ids=str,
)
def test_what_cannot_be_counted_is_refused(settings: dict[str, Any]) -> None:
    checkpoint = stored(**settings)
    with pytest.raises(ConfigError) as error:
        PackedNetwork(checkpoint)
    assert str(error.value) == (
        f"{checkpoint.configuration.name} cannot run packed: that needs method xnor without the K map. "
        "Use engine simulated."
    )
