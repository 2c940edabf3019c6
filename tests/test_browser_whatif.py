"""The What-if page in a real browser: a limit, two pins, and the address that brings the screen back."""

import re

import pytest
from browser import choose, settled, turn_to
from playwright.sync_api import Page, expect

from app.services import whatif
from cfcore.config import Configuration
from cfcore.cost import network_cost

pytestmark = pytest.mark.browser

# A list of options closes when the page scrolls, so that has to be over before one is opened.
TWO_FRAMES = "() => new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
PINNED = Configuration(weight_bits=4, activation_bits=2, group_size=8)


def expect_bytes(page: Page, of_a: str, of_b: str) -> None:
    """What the comparison says of A and B, once it is drawn."""
    compared = page.get_by_test_id("stTable").get_by_role("row").filter(has_text=re.compile("^Bytes"))
    expect(compared).to_contain_text(re.compile(rf"{of_a}\s*{of_b}"))


def size(configuration: Configuration) -> str:
    return f"{network_cost(configuration).bytes.total:,}"


def test_a_reader_limits_pins_compares_and_hands_the_address_on(server: str, page: Page) -> None:
    page.goto(f"{server}/whatif")
    expect(page.get_by_test_id("stTable")).to_contain_text(size(Configuration()))
    settled(page)
    listed = page.get_by_text(re.compile(r"configurations?, \d+ of them trained"))
    everything = listed.inner_text()
    expect_bytes(page, size(Configuration()), size(Configuration(group_size=1)))

    choose(page, "at_most", "50 kB")
    expect(page.get_by_text(re.compile("within 50 kB, the most accurate is"))).to_be_visible()
    settled(page)
    assert listed.inner_text() != everything
    trained = page.get_by_test_id("stButtonGroup").get_by_text("trained", exact=True)
    trained.click()
    fits = len([c for c in whatif.fitting(whatif.candidates("resnet20"), 50_000) if c.accuracy is not None])
    expect(listed).to_contain_text(re.compile(rf"^{fits} configurations, {fits} of them trained"))

    page.get_by_role("button", name="Pin the chosen one as B").click()
    expect(page.locator(".st-key-b input")).to_have_value(whatif.label(Configuration()))
    settled(page)
    choose(page, "a", whatif.label(PINNED))
    expect_bytes(page, size(PINNED), size(Configuration()))
    settled(page)

    page.locator(".st-key-group_size").scroll_into_view_if_needed()
    page.evaluate(TWO_FRAMES)
    choose(page, "group_size", "2")  # the pins stay
    expect(page).to_have_url(re.compile("group_size=2"))
    settled(page)
    expect_bytes(page, size(PINNED), size(Configuration()))
    turn_to(page, "Explorer")
    turn_to(page, "What-if")
    expect_bytes(page, size(PINNED), size(Configuration()))
    settled(page)

    browser = page.context.browser
    assert browser is not None
    other = browser.new_page()  # a fresh one: it knows the address only
    other.goto(page.url)
    expect_bytes(other, size(PINNED), size(Configuration()))
    settled(other)
    assert other.get_by_text(re.compile(r"of them trained")).inner_text() == listed.inner_text()
    expect(other.locator(".st-key-group_size input")).to_have_value("2")
    expect(other.locator(".st-key-at_most input")).to_have_value("50 kB")


def test_the_table_can_be_reached_on_a_phone(server: str, page: Page) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server}/whatif")
    frame = page.get_by_test_id("stDataFrame")
    expect(frame).to_be_visible()
    box = frame.bounding_box()
    assert box is not None
    assert box["width"] >= 340
    assert box["height"] < 420  # a thumb gets past it
    assert frame.locator("canvas").first.is_visible()
