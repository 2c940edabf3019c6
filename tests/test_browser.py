"""The explorer in a real browser: what a newcomer sees, from an address to the numbers and back to the address."""

import re

import pytest
from browser import choose, expect_number, number, settled
from playwright.sync_api import Page, expect

from app.services import networks
from cfcore.config import Configuration
from cfcore.cost import network_cost

pytestmark = pytest.mark.browser
LINE = 24  # pixels


def test_a_newcomer_reads_the_numbers_and_shares_more(server: str, page: Page) -> None:
    shared, by_layer = Configuration(group_size=16), Configuration(group_size="layer")
    entry, other = networks.trained(shared), networks.trained(by_layer)
    assert entry is not None
    assert other is not None

    page.goto(server)
    expect_number(page, "Accuracy", f"{entry.accuracy:.2f} %")
    expect_number(page, "Memory", f"{network_cost(shared).bytes.total:,} bytes")
    expect_number(page, "Bits per weight", f"{1 + 32 / (16 * 576):.3f}")
    settled(page)
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    assert page.url.rstrip("/") == server  # the default needs no words
    assert page.get_by_test_id("stMain").evaluate("main => main.scrollTop") == 0  # it opens at its top

    choose(page, "group_size", "layer")
    expect_number(page, "Memory", f"{network_cost(by_layer).bytes.total:,} bytes")
    expect_number(page, "Accuracy", f"{other.accuracy:.2f} %")
    expect_number(page, "Bits per weight", f"{1 + 32 / (64 * 576):.3f}")
    settled(page)
    assert "group_size=layer" in page.url

    page.reload()  # the address alone brings it back
    expect_number(page, "Accuracy", f"{other.accuracy:.2f} %")
    assert number(page, "Memory") == f"{network_cost(by_layer).bytes.total:,} bytes"


def test_two_controls_in_quick_succession_are_both_heard(server: str, page: Page) -> None:
    """The first leaves a preset; what the browser still holds of it must not bring it back with the second."""
    page.goto(f"{server}/?group_size=1")
    expect_number(page, "Accuracy", f"{networks.trained(Configuration(group_size=1)).accuracy:.2f} %")  # type: ignore[union-attr]
    for method, size in (("binary-weight", 2), ("xnor", 16), ("binary-weight", 1), ("xnor", "layer")) * 3:
        choose(page, "method", method)
        choose(page, "group_size", str(size))
        entry = networks.trained(Configuration.of(method=method, group_size=size))
        assert entry is not None
        expect_number(page, "Accuracy", f"{entry.accuracy:.2f} %")


def test_every_control_of_the_row_changes_the_numbers(server: str, page: Page) -> None:
    page.goto(f"{server}/?group_size=16")
    settings: dict[str, object] = {"group_size": 16}
    for name, value in (
        ("weight_bits", 2), ("activation_bits", 2), ("order", "sorted"), ("group_size", 8), ("model", "resnet32"),
        ("source", "post-training"), ("method", "binary-weight"),
    ):  # fmt: skip
        choose(page, name, str(value))
        settings[name] = value
        known = {k: v for k, v in settings.items() if not (settings.get("method") and k == "activation_bits")}
        expect_number(page, "Memory", f"{network_cost(Configuration.of(**known)).bytes.total:,} bytes")
    before = number(page, "Bits per weight")
    choose(page, "layer", "convs.1")
    changed = re.compile(r"layer convs\.1(?!\d)")  # not convs.18
    expect(page.get_by_test_id("stMetric").filter(has_text=changed).first).to_be_visible()
    assert number(page, "Bits per weight") != before
    page.get_by_role("button", name="Float", exact=True).click()
    floats = Configuration.of(model="resnet32", method="float")
    expect_number(page, "Memory", f"{network_cost(floats).bytes.total:,} bytes")


def test_nothing_moves_while_numbers_arrive(server: str, page: Page) -> None:
    page.goto(f"{server}/?source=post-training&group_size=8")
    stop, titles = page.get_by_role("button", name="Stop", exact=True), page.get_by_role("heading", level=3)
    expect(stop).to_be_visible()
    expect(titles).to_have_count(3)
    settled(page)
    before = [title.bounding_box()["y"] for title in titles.all()]  # type: ignore[index]
    expect(stop).to_have_count(0)  # m = 1 is counted too
    settled(page)
    expect(page.get_by_test_id("stMetric").first).to_contain_text("against m = 1")
    after = [title.bounding_box()["y"] for title in titles.all()]  # type: ignore[index]
    assert after[:2] == before[:2]
    assert 0 <= after[2] - before[2] <= LINE  # of the caption above, which says how good the network is


def test_an_address_with_nonsense_is_answered_with_a_sentence(server: str, page: Page) -> None:
    page.goto(f"{server}/?group_size=banana&weight_bits=9&model=lenet")
    alert = page.get_by_test_id("stAlert")
    expect(alert).to_contain_text("group_size = 'banana' is not allowed: use a whole number from 1 to 64")
    expect(alert).to_contain_text("weight_bits = 9 is not allowed: use a whole number from 1 to 8")
    expect(alert).to_contain_text("model = 'lenet' is not allowed: use one of resnet20")
    expect_number(page, "Memory", f"{network_cost(Configuration()).bytes.total:,} bytes")
    settled(page)
    assert page.get_by_test_id("stException").count() == 0
    assert "banana" not in page.url
