"""The cost model's page, run without a browser."""

import functools
import shutil
from pathlib import Path

import pytest
import screen
from screen import chosen, numbers, text
from streamlit.testing.v1 import AppTest

from app.services import model as formulas
from app.services import networks
from cfcore.config import Configuration, LayerModel
from cfcore.cost import network_cost
from cfcore.formula import estimate

ROOT = Path(__file__).parents[1]
page = functools.partial(screen.page, "model")
SHORT = {"xnor-net": LayerModel(), **dict(zip("ABC", formulas.CANDIDATES, strict=True))}


def shows(app: AppTest, model: LayerModel) -> None:
    result = estimate(model)
    less, fewer = result.memory_ratio, result.speedup
    assert numbers(app) == {
        "Memory": f"{less:.2f}× less" if less >= 1 else f"{1 / less:.2f}× more",
        "Operations": f"{fewer:.2f}× fewer" if fewer >= 1 else f"{1 / fewer:.2f}× more",
    }
    for formula, number in zip(app.latex, (result.memory_ratio, result.speedup), strict=True):
        assert f"&= {number:.2f}\\times" in formula.value


def control(app: AppTest, name: str):
    kinds = (app.select_slider, app.selectbox, app.button_group)
    (found,) = [widget for kind in kinds for widget in kind if widget.key == f"cost_{name}"]
    return found


def press(app: AppTest, preset: str) -> None:
    app.button(key=f"preset-{preset}").click().run()
    assert not app.exception


def test_it_opens_on_xnor_nets_own_example() -> None:
    app = page()
    shows(app, LayerModel())
    assert numbers(app)["Operations"] == "62.27× fewer"
    assert "**published** as 62.27×" in text(app)
    assert "36 word operations and 1 for scaling instead of 2,304 float operations" in text(app)
    assert not app.warning
    assert not app.error


@pytest.mark.parametrize("name", [*SHORT, "vector", "layer"])
def test_a_preset_fills_the_inputs(name: str) -> None:
    app = page(cost_channels="32", cost_word_bits="256")
    press(app, name)
    configuration = Configuration()
    models = {
        **SHORT,
        "vector": LayerModel(word_bits=32 / 3),
        "layer": formulas.of_layer(configuration, networks.layers(configuration)["convs.18"]),
    }
    shows(app, models[name])
    assert chosen(app)[-1] == f"preset-{name}"


def test_a_candidate_is_never_called_the_papers_own() -> None:
    for letter in "ABC":
        app = page()
        press(app, letter)
        assert "**A candidate of ours for 122×, not known to be the paper's own.**" in text(app)


def test_an_edit_turns_a_preset_into_settings_of_ones_own() -> None:
    app = page()
    press(app, "A")
    control(app, "kernel").set_value(5).run()
    shows(app, LayerModel(kernel=5, group_size=2, operations=2, scaling="both"))
    assert chosen(app) == ["preset-Cross-filter, m = 16"]  # the network's row is left as it is
    assert "Your own settings." in text(app)


def test_each_input_changes_the_numbers() -> None:
    app = page()
    for name, value in {"channels": 16, "group_size": 8, "weight_bits": 2, "activation_bits": 3}.items():
        control(app, name).set_value(value).run()
    control(app, "word_bits").set_value("128").run()
    control(app, "operations").set_value(2).run()
    control(app, "scaling").set_value("group").run()
    control(app, "scale_bits").set_value(16).run()
    shows(app, LayerModel(16, 3, 8, 2, 3, 128, 2, "group", 16))
    assert "One 16-bit factor for 8 filters" in text(app)


def test_an_address_reproduces_the_screen() -> None:
    address = {"cost_channels": "96", "cost_kernel": "5", "cost_group_size": "5", "cost_word_bits": "32/3"}
    app = page(**address, cost_scaling="folded", cost_over="group size")
    shows(app, LayerModel(96, 5, 5, word_bits=32 / 3, scaling="folded"))
    assert control(app, "over").value == "group size"


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("group_size", "banana"),
        ("group_size", "0"),
        ("group_size", "9" * 50),
        ("group_size", "²"),
        ("channels", "-1"),
        ("kernel", "2"),
        ("weight_bits", "9"),
        ("word_bits", "1/0"),
        ("operations", "x"),
        ("scaling", "$x$"),
        ("over", "everything"),
    ],
)
def test_an_address_with_nonsense_shows_the_default(name: str, value: str) -> None:
    shows(page(**{f"cost_{name}": value}), LayerModel())


@pytest.mark.parametrize("over", ["channels", "group size", "kernel"])
@pytest.mark.parametrize(
    "model",
    [LayerModel(1, 1, 1, 8, 8, 32 / 3), LayerModel(1, 11, 512, scaling="folded"), LayerModel(1024, 11, 512, 1, 1, 512)],
    ids=str,
)
def test_the_ends_of_every_slider_can_be_drawn(over: str, model: LayerModel) -> None:
    given = {f"cost_{name}": str(value) for name, value in model.to_dict().items() if name != "word_bits"}
    word = next(name for name, bits in formulas.WORDS.items() if bits == model.word_bits)
    shows(page(**given, cost_word_bits=word, cost_over=over), model)


# ---- beside what was measured


def test_computed_and_measured_are_reconciled() -> None:
    near = formulas.nearest(LayerModel(), formulas.measured(1, 1, networks.folder()))
    said = text(page())
    assert "512/3 ÷ 16 = 32/3 = **10.67×**" in said
    shares = f"{100 * near.packed_share:.1f} % / {100 * near.float_share:.1f} %"
    product = f"10.67 × {shares} = **{near.times_faster:.1f}×**, **measured**"
    assert product in said
    assert "**Measured** for the project and shipped" in said


def test_bits_without_timings_are_said_to_have_none() -> None:
    assert "No timings at 7 × 3 bits are shipped" in text(page(cost_weight_bits="7", cost_activation_bits="3"))


def test_a_damaged_measurement_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    place = tmp_path / "pretrained"
    shutil.copytree(networks.folder(), place, ignore=shutil.ignore_patterns("*.webp", "*.safetensors"))
    for file in place.glob("bench/*.json"):
        file.write_text("{}")
    monkeypatch.setenv("CFCORE_PRETRAINED", str(place))
    app = page()
    (error,) = app.error
    assert "no file of timings, or damaged" in error.value
    shows(app, LayerModel())


# ---- the network


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"group_size": "layer"},
        {"weight_bits": 3, "activation_bits": 2, "order": "sorted"},
        {"model": "vgg_small", "method": "binary-weight"},
    ],
    ids=str,
)
def test_the_networks_ledger_is_to_the_byte(settings: dict[str, object]) -> None:
    app = page(**{name: str(value) for name, value in settings.items()})
    cost = network_cost(Configuration.of(**settings))
    table = app.table[0].value
    assert list(table["bytes"])[-1] == f"{cost.bytes.total:,}"
    assert [int(size.replace(",", "")) for size in list(table["bytes"])[:-1]] == [step.bytes for step in cost.steps]
    assert list(table["so far"])[-1] == f"{cost.ratio:.2f}×"
    assert f"leaves {cost.ratio:.2f}× in {cost.configuration.model}" in text(app)
    if cost.operations.binary_macs:
        assert f"leave {cost.operations.network_speedup:.1f}× for the network" in text(app)


def test_a_float_network_is_what_is_compared_with() -> None:
    app = page(method="float")
    assert "Choose binary-weight or xnor above." in text(app)
    assert len(app.table) == 0


def test_the_snippets_follow_the_screen() -> None:
    app = page(cost_kernel="5", group_size="layer", cost_over="kernel")
    configuration = Configuration(group_size="layer")
    model = LayerModel(kernel=5)
    assert [block.value for block in app.code] == [
        formulas.command(model, configuration),
        formulas.python(model, configuration, "kernel").strip(),
    ]


@pytest.mark.parametrize("name", ["cost_kernel", "cost_word_bits", "cost_scaling", "cost_channels", "cost_over"])
def test_an_input_that_the_address_cannot_have_is_named(name: str) -> None:
    (warning,) = page(**{name: "banana"}).warning
    said = warning.value.replace("\\", "")
    assert said.startswith(f"{name} = 'banana' is not allowed: use what its control offers. The page shows ")
    assert not page(cost_kernel="5").warning


def test_a_group_size_of_too_many_digits_is_named() -> None:
    for asked in ("0000000019999999", "000000001" + 5_000 * "9", "5000"):
        (warning,) = page(cost_group_size=asked).warning
        assert "is not allowed" in warning.value
