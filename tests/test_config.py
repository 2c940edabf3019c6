"""cfcore.config and cfcore.errors: what may be asked for, and the sentence that answers what may not."""

import dataclasses
import json
import re

import pytest

from cfcore.config import (
    FLOAT_BITS,
    METHODS,
    MODELS,
    Configuration,
    LayerModel,
    Recipe,
    check_bits,
    check_group_size,
    parse_group_size,
)
from cfcore.errors import Cancelled, CfcoreError, CheckpointError, ConfigError, DataError, bad_value

GROUP = 'use a whole number from 1 up, or "layer". Choose 16, or "layer".'
BITS = "use a whole number from 1 to 8. Choose 1 for one bit."


def refused(**settings: object) -> str:
    with pytest.raises(ConfigError) as error:
        Configuration.of(**settings)
    return str(error.value)


# ------------------------------------------------------------------------------------------------ errors


@pytest.mark.parametrize("kind", [ConfigError, CheckpointError, DataError, Cancelled])
def test_one_base_catches_every_error_of_a_user(kind: type[CfcoreError]) -> None:
    assert issubclass(kind, CfcoreError)


def test_a_refused_setting_is_a_value_error() -> None:
    error = bad_value("m", "x", "1 or 2", "Choose 1.")
    assert isinstance(error, ConfigError)
    assert isinstance(error, ValueError)
    assert str(error) == "m = 'x' is not allowed: use 1 or 2. Choose 1."


# ------------------------------------------------------------------------------------------- bits, groups


@pytest.mark.parametrize("bits", range(1, 9))
def test_one_to_eight_bits(bits: int) -> None:
    check_bits("weight_bits", bits)
    assert Configuration(weight_bits=bits, activation_bits=bits).weight_bits == bits


@pytest.mark.parametrize("bits", [0, 9, 32, -3, True, "1", 1.0, None, float("nan")])
@pytest.mark.parametrize("name", ["weight_bits", "activation_bits"])
def test_other_bits_are_refused(name: str, bits: object) -> None:
    assert refused(**{name: bits}) == f"{name} = {bits!r} is not allowed: {BITS}"


@pytest.mark.parametrize("size", [1, 2, 3, 16, 511, "layer"])
def test_group_sizes(size: object) -> None:
    check_group_size(size)
    check_group_size(size, 512)


@pytest.mark.parametrize("size", [0, -3, True, False, "1", "16", "Layer", "", 1.0, None])
def test_other_group_sizes_are_refused(size: object) -> None:
    assert refused(group_size=size) == f"group_size = {size!r} is not allowed: {GROUP}"


def test_a_group_holds_at_most_the_widest_layer() -> None:
    check_group_size(64, 64)
    message = (
        'group_size = 65 is not allowed: use a whole number from 1 to 64, the filters of the widest layer, or "layer".'
    )
    with pytest.raises(ConfigError, match="^" + re.escape(message)):
        check_group_size(65, 64)


@pytest.mark.parametrize(("text", "size"), [("1", 1), ("16", 16), (" 8 ", 8), ("layer", "layer")])
def test_a_typed_group_size(text: str, size: object) -> None:
    assert parse_group_size(text) == size


@pytest.mark.parametrize(
    ("text", "shown"),
    [("0", "0"), ("-3", "-3"), ("", "''"), ("-", "'-'"), ("1.5", "'1.5'"), ("m16", "'m16'"), ("inf", "'inf'")],
)
def test_a_mistyped_group_size(text: str, shown: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_group_size(text)
    assert str(error.value) == f"group_size = {shown} is not allowed: {GROUP}"


# ------------------------------------------------------------------------------------------ configuration


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"model": "resnet18"}, f"model = 'resnet18' is not allowed: use one of {', '.join(MODELS)}. Choose resnet20."),
        ({"model": None}, f"model = None is not allowed: use one of {', '.join(MODELS)}. Choose resnet20."),
        ({"method": "bnn"}, f"method = 'bnn' is not allowed: use one of {', '.join(METHODS)}. Choose float."),
        ({"order": "random"}, "order = 'random' is not allowed: use one of index, sorted. Choose index."),
        ({"source": "x"}, "source = 'x' is not allowed: use one of trained, post-training. Choose trained."),
        (
            {"input_scale": 1},
            "input_scale = 1 is not allowed: use true or false. Leave it out for false.",
        ),
        (
            {"method": "float", "input_scale": True},
            "input_scale = True is not allowed: use false with 32-bit activations. "
            "The K map restores the magnitude that the sign drops.",
        ),
        (
            {"method": "float", "weight_bits": 1},
            "weight_bits = 1 is not allowed: use 32 (float) with method float. "
            "Choose method binary-weight for fewer bits.",
        ),
        (
            {"method": "binary-weight", "activation_bits": 2},
            "activation_bits = 2 is not allowed: use 32 (float) with method binary-weight. "
            "Choose method xnor for fewer bits.",
        ),
        ({"method": "xnor", "activation_bits": FLOAT_BITS}, f"activation_bits = 32 is not allowed: {BITS}"),
        (
            {"wieght_bits": 1},
            "setting = 'wieght_bits' is not allowed: use one of model, method, weight_bits, activation_bits, "
            "group_size, order, source, width, input_scale. Check the spelling.",
        ),
    ],
)
def test_what_is_refused_and_how(settings: dict[str, object], sentence: str) -> None:
    assert refused(**settings) == sentence


@pytest.mark.parametrize("width", [0, 0.06, 4.1, -1, True, "1", None, float("nan"), float("inf")])
def test_widths_out_of_range(width: object) -> None:
    assert refused(width=width) == (
        f"width = {width!r} is not allowed: use a number from 0.0625 to 4. Choose 1 for the published network."
    )


@pytest.mark.parametrize("width", [0.0625, 0.25, 1, 1.0, 4])
def test_widths_in_range(width: float) -> None:
    assert Configuration(width=width).width == width


@pytest.mark.parametrize(
    ("method", "weight_bits", "activation_bits"), [("float", 32, 32), ("binary-weight", 1, 32), ("xnor", 1, 1)]
)
def test_bits_left_out_follow_the_method(method: str, weight_bits: int, activation_bits: int) -> None:
    configuration = Configuration.of(method=method)
    assert (configuration.weight_bits, configuration.activation_bits) == (weight_bits, activation_bits)


def test_float_has_nothing_to_share() -> None:
    assert Configuration.of(method="float", group_size="layer").group_size == 1


@pytest.mark.parametrize(
    ("settings", "name"),
    [
        ({}, "resnet20-xnor-w1a1-m16"),
        ({"group_size": "layer"}, "resnet20-xnor-w1a1-layer"),
        ({"model": "vgg_small", "method": "binary-weight", "weight_bits": 2}, "vgg_small-binary-weight-w2a32-m16"),
        ({"order": "sorted", "input_scale": True}, "resnet20-xnor-w1a1-m16-sorted-kmap"),
        ({"method": "float", "width": 0.5}, "resnet20-x0.5-float"),
        ({"width": 2, "weight_bits": 3, "activation_bits": 4, "group_size": 1}, "resnet20-x2-xnor-w3a4-m1"),
    ],
)
def test_names(settings: dict[str, object], name: str) -> None:
    assert Configuration.of(**settings).name == name


def test_names_tell_configurations_apart() -> None:
    configurations = [
        Configuration.of(model=model, method=method, group_size=group, order=order)
        for model in MODELS
        for method in ("binary-weight", "xnor")
        for group in (2, 4, 16)
        for order in ("index", "sorted")
    ]
    assert len({c.name for c in configurations}) == len(configurations) == len(MODELS) * 2 * 3 * 2


def test_the_float_reference_keeps_the_shape() -> None:
    reference = Configuration(model="vgg_small", width=0.5, group_size=4).float_reference
    assert reference == Configuration.of(model="vgg_small", method="float", width=0.5)


def test_another_group_size_changes_nothing_else() -> None:
    sixteen = Configuration(weight_bits=2, order="sorted")
    four = sixteen.with_group_size(4)
    assert four.to_dict() == {**sixteen.to_dict(), "group_size": 4}
    with pytest.raises(ConfigError, match=r"^group_size = 0 is not allowed"):
        sixteen.with_group_size(0)


def test_a_record_survives_json() -> None:
    configuration = Configuration(group_size="layer", weight_bits=3)
    assert Configuration(**json.loads(json.dumps(configuration.to_dict()))) == configuration


def test_configurations_are_keys() -> None:
    assert len({Configuration(), Configuration(), Configuration(group_size=2)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Configuration().group_size = 2  # type: ignore[misc]


# ------------------------------------------------------------------------------------------------- recipe


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"optimizer": "lion"}, "optimizer = 'lion' is not allowed: use one of sgd, adam. Choose sgd."),
        ({"estimator": "x"}, "estimator = 'x' is not allowed: use one of clip, polynomial. Choose clip."),
        ({"epochs": 0}, "epochs = 0 is not allowed: use a whole number from 1 to 100,000. Choose 30."),
        ({"epochs": True}, "epochs = True is not allowed: use a whole number from 1 to 100,000. Choose 30."),
        ({"epochs": "1"}, "epochs = '1' is not allowed: use a whole number from 1 to 100,000. Choose 30."),
        ({"batch_size": -3}, "batch_size = -3 is not allowed: use a whole number from 1 to 100,000. Choose 128."),
        ({"learning_rate": 0}, "learning_rate = 0 is not allowed: use a number from 1e-08 to 10. Choose 0.1."),
        (
            {"learning_rate": float("nan")},
            "learning_rate = nan is not allowed: use a number from 1e-08 to 10. Choose 0.1.",
        ),
        ({"warmup": 1.5}, "warmup = 1.5 is not allowed: use a number from 0 to 1. Choose 0 to switch it off."),
        ({"distill": -0.1}, "distill = -0.1 is not allowed: use a number from 0 to 1. Choose 0 to switch it off."),
    ],
)
def test_recipes_that_are_refused(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        Recipe(**settings)  # type: ignore[arg-type]
    assert str(error.value) == sentence


def test_a_recipe_survives_json() -> None:
    recipe = Recipe(epochs=3, optimizer="adam", learning_rate=1e-3, seed=7)
    assert Recipe(**json.loads(json.dumps(recipe.to_dict()))) == recipe


@pytest.mark.parametrize("group_size", [1, "layer"])
def test_where_nothing_can_be_ordered_there_is_one_spelling(group_size: object) -> None:
    assert Configuration.of(group_size=group_size, order="sorted") == Configuration.of(group_size=group_size)


def test_the_remedy_is_among_what_is_allowed() -> None:
    with pytest.raises(ConfigError, match=r'1 to 8, .* Choose 8, or "layer"\.'):
        check_group_size(16, filters=8)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"channels": 0}, "channels = 0 is not allowed: use a whole number from 1 to 1,000,000. Choose 256."),
        ({"kernel": 2.5}, "kernel = 2.5 is not allowed: use a whole number from 1 to 64. Choose 3."),
        ({"group_size": True}, "group_size = True is not allowed: use a whole number from 1 to 65,536. Choose 1."),
        ({"weight_bits": 9}, f"weight_bits = 9 is not allowed: {BITS}"),
        ({"activation_bits": 32}, f"activation_bits = 32 is not allowed: {BITS}"),
        ({"word_bits": 0}, "word_bits = 0 is not allowed: use a number from 1 to 65536. Choose 64."),
        ({"operations": 3}, "operations = 3 is not allowed: use a whole number from 1 to 2. Choose 1."),
        ({"scale_bits": 8}, "scale_bits = 8 is not allowed: use 16 or 32. Choose 32."),
        ({"scaling": "x"}, "scaling = 'x' is not allowed: use one of output, group, both, folded. Choose output."),
    ],
    ids=str,
)
def test_a_layer_for_the_formulas_is_checked(settings: dict[str, object], sentence: str) -> None:
    with pytest.raises(ConfigError) as error:
        LayerModel(**settings)  # type: ignore[arg-type]
    assert str(error.value) == sentence


def test_a_layer_for_the_formulas_is_json() -> None:
    layer = LayerModel(channels=33, kernel=5, scaling="both")
    assert LayerModel(**json.loads(json.dumps(layer.to_dict()))) == layer
    assert layer.weights_per_filter == 33 * 5 * 5
