"""The address in a real browser: it says what the screen shows, whatever it said at first."""

import re

import pytest
from browser import settled, turn_to
from playwright.sync_api import Page, expect

pytestmark = pytest.mark.browser


def test_an_empty_value_is_replaced_and_going_back_breaks_nothing(server: str, page: Page) -> None:
    page.goto(f"{server}/model?cost_kernel=&cost_over=")
    expect(page.get_by_text("cost_over = '' is not allowed")).to_be_visible()
    settled(page)
    page.locator(".st-key-cost_kernel").get_by_role("radio", name="5").click()
    expect(page).to_have_url(re.compile(r"cost_kernel=5"))
    settled(page)
    turn_to(page, "What-if")
    settled(page)
    page.go_back()
    settled(page)
    expect(page.get_by_text("What a small filter pays for its factor")).to_be_visible()
    expect(page.get_by_text("encountered an error")).to_have_count(0)


def test_a_preset_that_brings_controls_back_is_in_the_address(server: str, page: Page) -> None:
    """float has no control for m: what is drawn anew says so by itself only later."""
    page.goto(f"{server}/?method=float")
    settled(page)
    page.get_by_role("button", name="Layer-wise").click()
    expect(page).to_have_url(re.compile(r"\?group_size=layer$"))
    settled(page)
    page.reload()
    settled(page)
    expect(page.get_by_role("button", name="Layer-wise")).to_contain_text("radio_button_checked")
