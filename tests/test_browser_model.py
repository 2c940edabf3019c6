"""The cost model's page in a real browser."""

import pytest
from browser import expect_number, settled
from playwright.sync_api import Page, expect

from cfcore.config import LayerModel
from cfcore.formula import CANDIDATES, estimate

pytestmark = pytest.mark.browser


def shows(page: Page, model: LayerModel) -> None:
    result = estimate(model)
    expect_number(page, "Memory", f"{result.memory_ratio:.2f}× less")
    expect_number(page, "Operations", f"{result.speedup:.2f}× fewer")


def test_a_learner_goes_from_62_to_122_and_on_with_the_keyboard(server: str, page: Page) -> None:
    page.goto(f"{server}/model")
    shows(page, LayerModel())
    settled(page)

    page.get_by_role("button", name="122×, candidate A").focus()
    page.keyboard.press("Enter")
    shows(page, CANDIDATES[0])
    settled(page)

    page.locator(".st-key-cost_group_size").get_by_role("slider").focus()
    page.keyboard.press("ArrowRight")
    shows(page, LayerModel(group_size=3, operations=2, scaling="both"))
    expect(page.get_by_text("Your own settings.")).to_be_visible()
    settled(page)

    page.reload()  # the address alone brings it back
    shows(page, LayerModel(group_size=3, operations=2, scaling="both"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(server: str, page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server}/model?cost_scaling=both&cost_group_size=512&cost_word_bits=32%2F3&cost_channels=1024")
    settled(page)
    expect(page.locator(".js-plotly-plot").first).to_be_visible()
    widths = page.get_by_test_id("stMain").evaluate("main => [main.scrollWidth, main.clientWidth]")
    assert widths[0] <= widths[1]
