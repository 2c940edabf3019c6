"""The page about scaling factors, run without a browser."""

import functools
from pathlib import Path

import pytest
import screen
from screen import Bench, numbers, press, text
from streamlit.testing.v1 import AppTest

from app.services import networks, scaling, snippets
from app.services.jobs import Status
from cfcore import sharing
from cfcore.config import Configuration
from cfcore.models import Network
from cfcore.starts import latent_file, save_latent

pytestmark = pytest.mark.usefixtures("bench")
DEFAULT = Configuration()
POST = Configuration(source="post-training")
page = functools.partial(screen.page, "scaling")


def headings(app: AppTest) -> list[str]:
    return [heading.value for heading in app.subheader]


# ---- what opens


def test_a_trained_network_without_latent_weights_shows_what_is_stored(folder: Path) -> None:
    app = page()
    found = scaling.at_once(DEFAULT)
    assert found is not None
    assert numbers(app) == {"α of group 0 in convs.18": f"{found.layer('convs.18').alphas[0]:.5f}"}
    assert headings(app) == ["The filters of group 0"]
    assert "latent weights behind this one are not shipped" in app.info[0].value
    press(app, "Quantize after training")
    assert app.selectbox(key="source").value == "post-training"
    assert "Sharing adds" in numbers(app)


def test_with_latent_weights_it_says_what_they_are(folder: Path) -> None:
    save_latent(Network(DEFAULT.with_group_size(1)), {}, latent_file("resnet20-xnor-w1a1-m1-base", folder))
    app = page()
    assert "resnet20-xnor-w1a1-m1-base.safetensors" in text(app)
    assert "the m = 1 network that this one was fine-tuned from" in text(app)
    assert "Dotted: α in the trained file" in text(app)
    assert "of the signs are still those of the latent weights" in text(app)
    assert not app.info


def test_post_training_shows_all_of_it_at_once(bench: Bench) -> None:
    app = page(source="post-training", layer="convs.14", group="2")
    found = scaling.at_once(POST)
    assert found is not None
    layer = found.layer("convs.14")
    assert numbers(app) == {
        "α of group 2 in convs.14": f"{layer.alphas[2]:.5f}",
        "Sharing adds": f"{layer.increase(2):.2f} %",
    }
    assert headings(app) == ["What sharing costs in convs.14", "Index against sorted", "The filters of group 2"]
    assert f"**{found.increase_by_order('index'):.1f} %** larger over all layers" in text(app)
    assert f"**{found.increase_by_order('sorted'):.2f} %** sorted" in text(app)
    assert "Sorted groups are an addition of this project" in text(app)
    assert "batch norm follows each convolution here" in text(app)
    assert bench.asked == []


def test_the_formula_has_its_numbers_put_in() -> None:
    app = page(source="post-training", group_size="2", layer="convs.1", group="1")
    layer = scaling.at_once(POST.with_group_size(2)).layer("convs.1")  # type: ignore[union-attr]
    assert layer.fit is not None
    own, shared = layer.fit.own, layer.fit.shared[1]
    (formula,) = [block.value for block in app.latex]
    assert rf"={144}\,\bigl[({own[2]:.4f}-{shared:.4f})^2" in formula
    assert rf"+({own[3]:.4f}-{shared:.4f})^2\bigr]" in formula
    assert f"={144 * ((own[2] - shared) ** 2 + (own[3] - shared) ** 2):.4g}" in formula


def test_the_code_that_brings_the_numbers_back_is_shown() -> None:
    command, python = [block.value for block in page(source="post-training", layer="convs.3").code]
    assert command == snippets.command("scales", POST)
    assert python.strip() == scaling.python(POST, "convs.3", 0).strip()


# ---- controls


def test_choosing_a_group_changes_its_numbers() -> None:
    app = page(source="post-training")
    before = numbers(app)
    app.selectbox(key="group").set_value(3).run()
    assert "α of group 3 in convs.18" in numbers(app)
    assert numbers(app)["Sharing adds"] != before["Sharing adds"]


def test_a_layer_with_fewer_groups_still_has_one_chosen() -> None:
    app = page(source="post-training", group="3")
    app.selectbox(key="layer").set_value("convs.1").run()
    assert not app.exception
    assert "α of group 0 in convs.1" in numbers(app)


@pytest.mark.parametrize("group", ["99", "banana", "-1", ""])
def test_a_group_that_is_not_there_is_named(group: str) -> None:
    app = page(source="post-training", group=group)
    assert "α of group 0 in convs.18" in numbers(app)
    (warning,) = app.warning
    assert f"group = '{group}' is not allowed" in warning.value.replace("\\", "")


def test_damaged_weights_of_another_network_are_said_so(folder: Path) -> None:
    """Those that the page would offer in place of the ones that are missing."""
    file = latent_file("resnet20-binary-weight-w1a32-m1-base", folder)
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(b"nonsense")
    (error,) = page().error
    assert "is damaged" in error.value


@pytest.mark.parametrize("source", ["trained", "post-training"])
@pytest.mark.parametrize(("group_size", "said"), [("1", "nothing is shared"), ("layer", "are one group, whatever")])
def test_where_there_is_nothing_to_order_it_says_so(group_size: str, said: str, source: str) -> None:
    app = page(source=source, group_size=group_size)
    assert said in text(app)
    assert "% sorted (**measured**)" not in text(app)
    assert "Sorting has a price" not in text(app)
    assert "one factor for all 64 filters adds" in text(app)


@pytest.mark.parametrize("order", ["index", "sorted"])
def test_ragged_groups_are_no_trouble(order: str) -> None:
    app = page(source="post-training", group_size="5", layer="convs.1", group="3", order=order)
    assert numbers(app)["Sharing adds"] == "0.00 %"  # the last group has one filter of 16
    assert "1 filter of 144 weights." in text(app)


# ---- more bits


def test_above_one_bit_the_worker_searches(bench: Bench) -> None:
    configuration = Configuration(source="post-training", weight_bits=2)
    bench.stands["factors"] = Status("running", share=0.5, step="searching the best factors")
    app = page(source="post-training", weight_bits="2")
    assert set(bench.asked) == {scaling.search(configuration)}
    assert numbers(app) == {}
    assert "Above one bit the best factors have no closed form." in text(app)
    press(app, "Stop")
    app.run()
    assert "Stopped before it was done." in text(app)
    press(app, "Start again")
    found = sharing.factors(configuration, networks.folder())
    bench.stands["factors"] = Status("done", value=found)
    app.run()
    assert not app.exception
    layer = found.layer("convs.18")
    assert numbers(app)["Sharing adds"] == f"{layer.increase(0):.2f} %"
    assert "both factors were searched" in text(app)
    (formula,) = [block.value for block in app.latex]
    assert f"={layer.alone(0) + layer.added(0):.4g}-{layer.alone(0):.4g}" in formula


# ---- what is not there


def test_a_float_network_has_none() -> None:
    app = page(method="float")
    assert "A float network has no scaling factors" in app.info[0].value
    press(app, "Choose binary-weight")
    assert numbers(app)


def test_an_untrained_configuration_offers_another(bench: Bench) -> None:
    app = page(weight_bits="3")
    assert "No network trained with this configuration is shipped." in app.info[0].value
    assert bench.asked == []
    press(app, "Quantize after training")
    assert app.selectbox(key="source").value == "post-training"


@pytest.mark.parametrize("source", ["trained", "post-training"])
def test_a_model_without_any_network_says_how_to_get_one(source: str) -> None:
    app = page(model="resnet56", source=source)
    assert "`python -m cfcore train --model resnet56 --method float`" in app.info[0].value


def test_a_damaged_file_is_one_sentence(folder: Path) -> None:
    (folder / f"{DEFAULT.name}.safetensors").write_bytes(b"something else")
    (error,) = page().error
    assert "its sha256 differs" in error.value
