"""The kernel speed page in a real browser: measured by keyboard alone, and found again from its address."""

import re

import pytest
from browser import choose, expect_number, number, settled
from playwright.sync_api import Page, expect

from app.services import speed
from cfcore.manifest import PRETRAINED

pytestmark = pytest.mark.browser


def shipped(layer: str, name: str) -> tuple[str, str]:
    """Two headlines that the page has to show."""
    found = speed.shipped_layer(layer, (1, 1), PRETRAINED, name)
    assert found is not None
    packed, fp32, product = (
        found[1].find("packed", "layer"),
        found[1].find("torch-fp32", "layer"),
        found[1].find("packed", "product"),
    )
    assert packed is not None
    assert fp32 is not None
    assert product is not None
    assert product.of_port_bound is not None
    return f"{fp32.median_s / packed.median_s:.1f}× as fast", f"{100 * product.of_port_bound:.0f} %"


def test_a_machine_and_a_layer_are_chosen_and_found_again(server: str, page: Page) -> None:
    page.goto(f"{server}/speed")
    settled(page)
    choose(page, "timed", "ResNet-18")
    choose(page, "resnet18", "256,14,256,3,1")
    for name in ("intel-amx", "amd-zen4"):
        choose(page, "machine", name)
        fp32, bound = shipped("256,14,256,3,1", name)
        expect_number(page, "Against fp32", fp32)
        expect_number(page, "Of the port bound", bound)
    expect(page.locator(".js-plotly-plot")).to_have_count(3)
    settled(page)
    page.goto(page.url)  # the address alone brings it back
    expect_number(page, "Against fp32", fp32)
    assert number(page, "Of the port bound") == bound


def test_a_typed_shape_is_refused_then_measured_by_keyboard(server: str, page: Page) -> None:
    page.goto(f"{server}/speed?timed=own+shape")
    settled(page)
    field = page.locator(".st-key-shape input")
    field.fill("16,0,16,3,1")
    field.press("Enter")
    said = "size = 0 is not allowed: use a whole number from 1 to 512."
    expect(page.get_by_test_id("stAlert")).to_contain_text(said)
    field.fill("16,6,16,3,1")
    field.press("Enter")
    expect_number(page, "Against fp32", "—")
    settled(page)
    button = page.get_by_role("button", name="Measure on this machine")
    for _ in range(60):
        page.keyboard.press("Tab")
        if button.evaluate("button => button === document.activeElement"):
            break
    page.keyboard.press("Enter")
    expect(page.get_by_role("progressbar")).to_be_visible()
    expect(page.get_by_text("Measured here").first).to_be_visible(timeout=120_000)
    assert re.fullmatch(r"\d+\.\d+× as fast", number(page, "Against fp32"))
    assert re.fullmatch(r"\d+ %|under 1 %", number(page, "Of the port bound"))
    expect(page.get_by_role("progressbar")).to_have_count(0)


def test_a_measurement_can_be_stopped(server: str, page: Page) -> None:
    page.goto(f"{server}/speed?timed=VGG-16")
    settled(page)
    page.get_by_role("button", name="Measure on this machine").click()
    page.get_by_role("button", name="Stop", exact=True).click()
    expect(page.get_by_text("The measurement was stopped.")).to_be_visible()
    assert number(page, "Against fp32") == "—"


@pytest.mark.parametrize("address", ["", "?timed=whole+network&batch=32"])
def test_a_phone_shows_it_without_scrolling_sideways(server: str, page: Page, address: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server}/speed{address}")
    settled(page)
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    widths = page.get_by_test_id("stMain").evaluate("main => [main.scrollWidth, main.clientWidth]")
    assert widths[0] <= widths[1]
