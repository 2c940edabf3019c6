"""cfcore.models: the networks compute what their description says, and one-bit sharing is undone by a norm after it."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from cfcore.config import MODELS, Configuration, GroupSize
from cfcore.models import Network, reestimate_batch_norm, shortcut


def network(model: str = "resnet20", seed: int = 0, **settings: object) -> Network:
    torch.manual_seed(seed)
    return Network(Configuration.of(model=model, **{"width": 0.25, "group_size": 3, **settings})).eval()


def draw(count: int = 2, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, 32, 32, generator=torch.Generator().manual_seed(seed))


def stir(net: Network) -> Network:
    """Norms as after some training, so that leaving one out, or taking another, shows."""
    generator = torch.Generator().manual_seed(7)
    for norm in net.norms:
        assert isinstance(norm, nn.BatchNorm2d)
        for values, low in ((norm.weight, 0.5), (norm.bias, -0.5), (norm.running_mean, -0.5), (norm.running_var, 0.5)):
            assert values is not None
            values.data.copy_(torch.rand(values.shape, generator=generator) + low)
    return net


# ---- what they compute -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", ["float", "binary-weight", "xnor"])
@pytest.mark.parametrize("source", ["trained", "post-training"])
def test_ten_logits_an_image(model: str, method: str, source: str) -> None:
    net = network(model, method=method, source=source)
    with torch.no_grad():
        logits = net(draw(3))
    assert logits.shape == (3, 10)
    assert torch.isfinite(logits).all()
    assert logits.std(0).min() > 0  # the image matters
    quantized = 0 if method == "float" else len(net.architecture.convs) - 1
    assert len(net.quantized_convs()) == quantized


Layer = Callable[[int, Tensor], Tensor]


def parts(net: Network) -> tuple[Layer, Layer]:
    """conv(i, x) of an already quantized input and norm(i, x), from the state alone and in double precision."""
    state = {name: values.double() for name, values in net.state_dict().items()}
    bits = net.configuration.weight_bits

    def conv(i: int, x: Tensor) -> Tensor:
        weight = state[f"convs.{i}.weight"]
        if i and bits < 32:
            alpha = state[f"convs.{i}.scales"][state[f"convs.{i}.group_of"].long()].view(-1, 1, 1, 1)
            odd = torch.arange(-(2**bits - 1), 2**bits, 2).double()
            weight = alpha * odd[(weight[..., None] / alpha[..., None] - odd).abs().argmin(-1)]
        return F.conv2d(x, weight, stride=net.architecture.convs[i].stride, padding=1)

    def norm(i: int, x: Tensor) -> Tensor:
        mean, var = (state[f"norms.{i}.running_{name}"].view(-1, 1, 1) for name in ("mean", "var"))
        gamma, beta = (state[f"norms.{i}.{name}"].view(-1, 1, 1) for name in ("weight", "bias"))
        return gamma * (x - mean) / (var + 1e-5) ** 0.5 + beta

    return conv, norm


def activation(net: Network, i: int, x: Tensor) -> Tensor:
    bits = net.configuration.activation_bits
    if bits == 32:
        return x.clamp_min(0)
    if bits == 1:
        return torch.where(x >= 0, 1.0, -1.0).double()
    step = net.quantized_convs()[i - 1].step.detach().double()
    return (x / step).round().clamp(0, 2**bits - 1) * step


def half(x: Tensor) -> Tensor:
    """Mean over 2x2, in other words than a pool."""
    return (x[..., ::2, ::2] + x[..., 1::2, ::2] + x[..., ::2, 1::2] + x[..., 1::2, 1::2]) / 4


def widened(x: Tensor, like: Tensor) -> Tensor:
    out = torch.zeros_like(like)
    out[:, : x.shape[1]] = x if x.shape[2:] == like.shape[2:] else half(x)
    return out


def expected_logits(net: Network, images: Tensor) -> Tensor:
    conv, norm = parts(net)
    last = len(net.architecture.convs) - 1
    x = conv(0, images.double())
    if net.architecture.family == "vgg":
        for i in range(last):
            x = norm(i, x)
            x = conv(i + 1, activation(net, i + 1, x))
            if i + 1 in (1, 3, 5):
                n, c, h, w = x.shape
                x = x.view(n, c, h // 2, 2, w // 2, 2).amax((3, 5))
        features = norm(last, x).clamp_min(0).reshape(len(x), -1)
    elif net.architecture.block == "basic":
        x = norm(0, x)
        for i in range(1, last, 2):
            y = norm(i, conv(i, activation(net, i, x)))
            y = norm(i + 1, conv(i + 1, activation(net, i + 1, y)))
            x = y + widened(x.clamp_min(0), y)
        features = x.clamp_min(0).flatten(2).mean(2)
    else:
        for i in range(1, last + 1):
            y = conv(i, activation(net, i, norm(i - 1, x)))
            x = y + widened(x, y)
            x = torch.where(x < 0, net.slopes[i - 1].double() * x, x)
        features = norm(last, x).clamp_min(0).flatten(2).mean(2)
    return features @ net.head.weight.detach().double().T + net.head.bias.detach().double()


@pytest.mark.parametrize("model", ["resnet20", "vgg_small"])
@pytest.mark.parametrize(
    "settings",
    [
        {"method": "float"},
        {"method": "binary-weight"},
        {"method": "binary-weight", "weight_bits": 3, "order": "sorted"},
        {"method": "xnor"},
        {"method": "xnor", "source": "post-training", "group_size": "layer"},
        {"method": "xnor", "weight_bits": 2, "activation_bits": 3},
        {"method": "xnor", "weight_bits": 8, "activation_bits": 8, "source": "post-training"},
    ],
    ids=lambda s: "-".join(map(str, s.values())),
)
def test_forward_is_the_description(model: str, settings: dict[str, object]) -> None:
    """In double precision on both sides: no activation lies within its rounding of a threshold."""
    net = stir(network(model, **settings))
    for conv in net.quantized_convs():
        if hasattr(conv, "step"):
            conv.step.data.fill_(2.0 ** -(net.configuration.activation_bits - 2))
    net.double()
    with torch.no_grad():
        torch.testing.assert_close(net(draw().double()), expected_logits(net, draw()), rtol=1e-6, atol=1e-6)


def test_shortcut_halves_and_widens() -> None:
    x = torch.arange(2 * 4 * 6.0).view(1, 2, 4, 6)
    out = shortcut(x, torch.empty(1, 5, 2, 3))
    assert out.shape == (1, 5, 2, 3)
    torch.testing.assert_close(out[:, :2], half(x))
    assert not out[:, 2:].any()
    assert torch.equal(shortcut(x, torch.empty(1, 2, 4, 6)), x)


def test_the_k_map_changes_the_network() -> None:
    with_map, without = network(input_scale=True), network()
    with_map.load_state_dict(without.state_dict())
    with torch.no_grad():
        assert not torch.allclose(with_map(draw()), without(draw()))


def test_weights_are_drawn_by_seed() -> None:
    same, again, other = network(seed=3), network(seed=3), network(seed=4)
    for name, values in same.state_dict().items():
        assert torch.equal(values, again.state_dict()[name])
    assert not torch.equal(same.head.weight, other.head.weight)


def test_factors_fit_the_weights_drawn() -> None:
    for conv in network(order="sorted").quantized_convs():
        for g, scale in enumerate(conv.scales):
            torch.testing.assert_close(scale, conv.weight[conv.group_of == g].abs().mean())


# ---- sharing at one bit, and batch normalisation ---------------------------------------------------------------


def shared(group_size: GroupSize, model: str = "resnet20", order: str = "index", **settings: object) -> Network:
    """The same latent weights at every m, statistics estimated again; double precision and hardly an ε: no rounding."""
    net = stir(network(model, group_size=group_size, order=order, **settings)).double()
    for norm in net.norms:
        assert isinstance(norm, nn.BatchNorm2d)
        norm.eps = 1e-14
    net.regroup()
    reestimate_batch_norm(net, draw(6).double(), batch_size=6)
    return net


def logits_at(*args: object, **settings: object) -> Tensor:
    with torch.no_grad():
        return shared(*args, **settings)(draw(4, seed=9).double())  # type: ignore[arg-type]


NORM_FIRST = [
    {"model": "vgg_small"},
    {"model": "vgg_small", "input_scale": True},
    {"model": "vgg_small", "method": "binary-weight"},
    {"model": "vgg_small", "activation_bits": 4},
    {"model": "resnet20", "method": "binary-weight"},
    {"model": "resnet20", "activation_bits": 4},
    {"model": "resnet20", "source": "post-training"},
    {"model": "resnet20", "source": "post-training", "activation_bits": 4},
]


@pytest.mark.parametrize("settings", NORM_FIRST, ids=lambda s: "-".join(map(str, s.values())))
@pytest.mark.parametrize(("group_size", "order"), [(3, "index"), (16, "sorted"), ("layer", "index")])
def test_a_norm_right_after_the_convolution_undoes_sharing(
    settings: dict[str, object], group_size: GroupSize, order: str
) -> None:
    """BN(α·z) = BN(z): every m is the same network. So in VGG, and in the basic block, whose add follows its norm."""
    torch.testing.assert_close(
        logits_at(group_size, order=order, **settings), logits_at(1, **settings), rtol=1e-7, atol=1e-7
    )


@pytest.mark.parametrize("group_size", [3, "layer"])
def test_an_add_before_the_norm_lets_sharing_show(group_size: GroupSize) -> None:
    """The binary block adds α·z to the stream before any norm: there m matters."""
    alone, together = (logits_at(m) for m in (1, group_size))
    assert (alone - together).abs().max() > 1e-2


@pytest.mark.parametrize("settings", NORM_FIRST[::2], ids=lambda s: "-".join(map(str, s.values())))
def test_two_bits_let_sharing_show_everywhere(settings: dict[str, object]) -> None:
    """m changes the levels themselves, which no norm can undo."""
    alone, together = (logits_at(m, weight_bits=2, **settings) for m in (1, "layer"))
    assert (alone - together).abs().max() > 1e-2


# ---- batch statistics ------------------------------------------------------------------------------------------


def first_norm(net: Network) -> nn.BatchNorm2d:
    norm = net.norms[0]
    assert isinstance(norm, nn.BatchNorm2d)
    return norm


def first_sums(net: Network, images: Tensor) -> Tensor:
    """What the first norm sees -> [channels, numbers]"""
    with torch.no_grad():
        return net.convs[0](images).transpose(0, 1).flatten(1)


def test_statistics_of_one_batch_are_exact() -> None:
    net, images = stir(network("vgg_small")), draw(5) * 3 + 1
    reestimate_batch_norm(net, images)
    seen = first_sums(net, images)
    torch.testing.assert_close(first_norm(net).running_mean, seen.mean(1))
    torch.testing.assert_close(first_norm(net).running_var, seen.var(1))


def test_every_norm_then_hands_on_mean_zero_and_variance_one() -> None:
    net, images = network("vgg_small"), draw(6)
    reestimate_batch_norm(net, images)
    seen: list[Tensor] = []
    for norm in net.norms:
        norm.register_forward_hook(lambda module, inputs, output: seen.append(output.transpose(0, 1).flatten(1)))
    with torch.no_grad():
        net(images)
    assert len(seen) == len(net.norms)
    for values in seen:
        torch.testing.assert_close(values.mean(1), torch.zeros(len(values)), rtol=0, atol=2e-3)
        torch.testing.assert_close(values.var(1), torch.ones(len(values)), rtol=2e-2, atol=0)


@pytest.mark.parametrize(("images", "batch"), [(6, 2), (5, 4), (7, 3), (6, 6)])
def test_every_image_counts_the_same(images: int, batch: int) -> None:
    """Also those of a last batch that is smaller: the mean over the batches is the mean over the images."""
    net = network("vgg_small")
    pixels = draw(images) + torch.arange(float(images)).view(-1, 1, 1, 1)
    reestimate_batch_norm(net, pixels, batch_size=batch)
    parts_of = [first_sums(net, part) for part in pixels.split(batch)]
    weights = [len(part) / images for part in pixels.split(batch)]
    mean = sum(w * s.mean(1) for w, s in zip(weights, parts_of, strict=True))
    var = sum(w * s.var(1) for w, s in zip(weights, parts_of, strict=True))
    torch.testing.assert_close(first_norm(net).running_mean, first_sums(net, pixels).mean(1))
    torch.testing.assert_close(first_norm(net).running_mean, mean)
    torch.testing.assert_close(first_norm(net).running_var, var)


def test_only_the_statistics_change() -> None:
    net = stir(network(weight_bits=2, activation_bits=2))
    before = {name: values.clone() for name, values in net.state_dict().items()}
    reestimate_batch_norm(net, draw(2))
    for name, values in net.state_dict().items():
        if name.endswith(("running_mean", "running_var", "num_batches_tracked")):
            assert not torch.equal(values, before[name]), name
        else:
            assert torch.equal(values, before[name]), name


@pytest.mark.parametrize("training", [True, False])
def test_momentum_and_mode_are_as_before(training: bool) -> None:
    net = network().train(training)
    reestimate_batch_norm(net, draw(2))
    assert {norm.momentum for norm in net.norms} == {0.1}
    assert {module.training for module in net.modules()} == {training}


def test_momentum_and_mode_are_as_before_after_a_cancelled_run() -> None:
    net = network()

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    net.convs[3].register_forward_hook(stop)
    with pytest.raises(KeyboardInterrupt):
        reestimate_batch_norm(net, draw(2))
    assert {norm.momentum for norm in net.norms} == {0.1}
    assert not any(module.training for module in net.modules())
