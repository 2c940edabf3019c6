"""The address and the controls: what is offered, and what is refused in which words."""

import pytest

from app import address, presets, state
from app.services import networks
from cfcore.config import METHODS, MODELS, Configuration


def test_nothing_asked_nothing_refused() -> None:
    assert address.refusals({}) == []
    assert address.refusals({"utm_source": "a link", "layer": "convs.3"}) == []


def test_what_is_allowed_passes() -> None:
    good = {
        "model": "vgg_small",
        "method": "binary-weight",
        "weight_bits": "8",
        "activation_bits": "32",
        "group_size": "512",
        "order": "sorted",
        "source": "post-training",
    }
    assert address.refusals(good) == []
    assert address.refusals({"group_size": "5"}) == []
    assert address.refusals({"group_size": "layer"}) == []


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        (
            "model",
            "lenet",
            "model = 'lenet' is not allowed: use one of resnet20, resnet32, resnet44, resnet56, vgg_small, "
            "vgg_small_half. The page shows resnet20 instead.",
        ),
        (
            "weight_bits",
            "9",
            "weight_bits = 9 is not allowed: use a whole number from 1 to 8. The page shows 1 instead.",
        ),
        (
            "group_size",
            "banana",
            "group_size = 'banana' is not allowed: use a whole number from 1 to 64, the filters of the widest layer, "
            'or "layer". The page shows 16 instead.',
        ),
        ("group_size", "65", "group_size = 65 is not allowed: use a whole number from 1 to 64"),
        ("group_size", "0", "group_size = 0 is not allowed"),
        ("group_size", "-3", "group_size = -3 is not allowed"),
        ("group_size", "٣", "group_size = '٣' is not allowed"),
        ("group_size", "1" * 5000, "group_size = '" + 40 * "1" + "…' is not allowed"),
        ("weight_bits", "", "weight_bits = '' is not allowed"),
        ("weight_bits", "1.5", "weight_bits = '1.5' is not allowed"),
        ("activation_bits", "0", "activation_bits = 0 is not allowed: use a whole number from 1 to 8"),
        (
            "method",
            "XNOR",
            "method = 'XNOR' is not allowed: use one of float, binary-weight, xnor. The page shows xnor",
        ),
        ("order", "random", "order = 'random' is not allowed: use one of index, sorted. The page shows index"),
        (
            "source",
            "stolen",
            "source = 'stolen' is not allowed: use one of trained, post-training. The page shows trained",
        ),
    ],
)
def test_nonsense_is_named_with_what_is_allowed_and_the_remedy(name: str, value: str, sentence: str) -> None:
    (only,) = address.refusals({name: value})
    assert sentence in only


def test_what_a_method_does_not_use_is_not_said_to_be_shown() -> None:
    for asked in ({"method": "binary-weight", "activation_bits": "99"}, {"method": "float", "group_size": "0"}):
        (only,) = address.refusals(asked)
        assert only.endswith(f"With method {asked['method']} it has no effect.")


def test_the_widest_layer_of_the_model_bounds_the_group() -> None:
    assert address.refusals({"model": "vgg_small", "group_size": "512"}) == []
    (only,) = address.refusals({"model": "vgg_small", "group_size": "513"})
    assert "from 1 to 512" in only
    (_, size) = address.refusals({"model": "lenet", "group_size": "512"})
    assert "from 1 to 64" in size  # the page shows resnet20


def test_group_sizes_are_the_powers_of_two_that_fit() -> None:
    assert state.group_sizes("resnet20") == [1, 2, 4, 8, 16, 32, "layer"]
    assert state.group_sizes("vgg_small") == [1, 2, 4, 8, 16, 32, 64, 128, 256, "layer"]
    assert state.group_sizes("resnet20", 5) == [1, 2, 4, 5, 8, 16, 32, "layer"]
    assert state.group_sizes("resnet20", 65) == state.group_sizes("resnet20", "layer") == state.group_sizes("resnet20")


def test_layers_are_checked_against_those_of_the_model() -> None:
    assert address.layer_refusals({}, ["convs.1", "convs.2"]) == []
    assert address.layer_refusals({"layer": "convs.2"}, ["convs.1", "convs.2"]) == []
    assert address.layer_refusals({"layer": "convs.0"}, ["convs.1", "convs.2"]) == [
        "layer = 'convs.0' is not allowed: use convs.1 to convs.2. The page shows convs.2 instead."
    ]


def test_markdown_of_strangers_stays_text() -> None:
    assert address.plain("a **b** [c](d) :red[e] <f> $g$") == (r"a \*\*b\*\* \[c\]\(d\) \:red\[e\] \<f\> \$g\$")


def test_the_page_opens_with_the_default_configuration() -> None:
    assert Configuration() == address.DEFAULT
    assert address.DEFAULT.name == "resnet20-xnor-w1a1-m16"
    assert address.DEFAULT.source == "trained"


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("method", METHODS)
def test_every_offer_makes_a_configuration(model: str, method: str) -> None:
    for size in state.group_sizes(model):
        assert Configuration.of(model=model, method=method, group_size=size).model == model


def test_every_control_says_what_it_is_for() -> None:
    assert set(state.HELP) == {*address.SETTINGS, "layer"}
    assert set(presets.HELP) == set(presets.PRESETS)


@pytest.mark.parametrize("model", MODELS)
def test_every_preset_is_known_again(model: str) -> None:
    for name, settings in presets.PRESETS.items():
        assert presets.preset(networks.canonical(Configuration.of(model=model, **settings))) == name
    assert presets.preset(Configuration(model, weight_bits=3)) == presets.CUSTOM
    assert presets.preset(Configuration(model, order="sorted")) == presets.CUSTOM
