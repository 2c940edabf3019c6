"""The bitwise convolution in a real browser: stepping, playing and flipping, with the mouse and with keys alone."""

import re

import pytest
from browser import WAIT_MS, expect_number, number, settled
from playwright.sync_api import Locator, Page, expect

from app.services import bits, networks
from app.services.bits import Flip, Place
from cfcore.config import Configuration

pytestmark = pytest.mark.browser
PLACE = Place(image=0, row=4, column=4, filter=0, channel=0)


@pytest.fixture(scope="module")
def layer() -> bits.Layer:
    return bits.task(Configuration(), "convs.18", PLACE.image).run(lambda *_: None)


def counted(layer: bits.Layer, *flips: Flip) -> bits.View:
    return bits.view(Configuration(), networks.layers(Configuration())["convs.18"], layer, PLACE, flips)


def shown(total: int) -> str:
    return f"{total}".replace("-", "−")


def opened(page: Page, address: str) -> Locator:
    """The table of bits, once it is there."""
    page.goto(address)
    page.locator(".said").wait_for(timeout=WAIT_MS)
    settled(page)
    return page.locator(".root")


def test_bits_are_flipped_and_the_sums_follow(server: str, page: Page, layer: bits.Layer) -> None:
    table = opened(page, f"{server}/bits")
    before = counted(layer)
    expect_number(page, "These 8 channels", shown(before.part.sum))
    expect_number(page, "All 64 channels", shown(before.whole.sum))

    table.locator("tbody tr").nth(3).locator(".activation button").nth(1).click()
    after = counted(layer, Flip("activation", 0, tap=3, channel=1))
    assert abs(after.part.sum - before.part.sum) == 2
    expect_number(page, "These 8 channels", shown(after.part.sum))
    expect_number(page, "All 64 channels", shown(after.whole.sum))
    expect(page.get_by_text(f"equal to the float sum {shown(after.part.sum)}.0")).to_be_visible()
    expect(table.locator("tbody tr").last.locator("td.number b").nth(2)).to_have_text(shown(after.part.sum))

    page.get_by_role("button", name="Link").click()
    link = page.get_by_label("Address of this screen")  # changed by what drew only a part of the page again
    expect(link).to_have_value(re.compile(r"bits_flips=activation\.0\.3\.1$"))
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy", exact=True).click()
    expect(page.get_by_text("Copied.")).to_be_visible()
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied == link.input_value()

    opened(page, copied)
    expect_number(page, "These 8 channels", shown(after.part.sum))
    page.get_by_role("button", name="Put the bits back").click()
    expect_number(page, "These 8 channels", shown(before.part.sum))
    assert "flips" not in page.url


def test_keys_alone_step_and_flip(server: str, page: Page, layer: bits.Layer) -> None:
    table = opened(page, f"{server}/bits")
    done, steps = table.locator("tbody tr.done"), counted(layer).steps
    expect(done).to_have_count(9)  # the result is there before anything is pressed
    table.locator("button.reset").focus()
    page.keyboard.press("Enter")
    expect(done).to_have_count(0)
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Shift+Tab")  # back to Step
    for tap in range(2):
        page.keyboard.press("Enter")
        expect(done).to_have_count(tap + 1)
        expect(table.locator(".said")).to_contain_text(f"Tap {tap}.")
        expect(table.locator("tr.now td.number b").nth(2)).to_have_text(shown(steps[tap].total))
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")  # Play
    expect(done).to_have_count(9)

    bit = table.locator("tbody tr").nth(1).locator(".activation button").nth(2)
    table.locator("button.bit[tabindex='0']").focus()
    for key in ("ArrowDown", "ArrowRight", "ArrowRight"):
        page.keyboard.press(key)
    expect(bit).to_be_focused()
    value = bit.inner_text()
    page.keyboard.press("Enter")
    expect(bit).to_have_text("0" if value == "1" else "1")
    expect(bit).to_be_focused()  # the table is painted in place
    row = table.locator("tbody tr").nth(1)
    for key, end in (("End", row.locator(".weight button").last), ("Home", row.locator(".activation button").first)):
        page.keyboard.press(key)
        expect(end).to_be_focused()
    expect(bit).to_have_attribute(
        "aria-label", re.compile("^activation, tap 1: row 0, column 1, channel 2: bit [01], ")
    )
    after = counted(layer, Flip("activation", 0, tap=1, channel=2))
    expect_number(page, "These 8 channels", shown(after.part.sum))


def test_the_window_moves_and_its_address_brings_it_back(server: str, page: Page) -> None:
    opened(page, f"{server}/bits")
    page.get_by_role("button", name="Go to a corner").click()
    expect(page.locator("tr.padded")).to_have_count(5)
    settled(page)
    assert "bits_row=0" in page.url
    assert "bits_column=0" in page.url
    sums = number(page, "These 8 channels"), number(page, "All 64 channels")
    page.reload()
    expect(page.locator("tr.padded")).to_have_count(5)
    assert (number(page, "These 8 channels"), number(page, "All 64 channels")) == sums


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_every_word_without_scrolling_sideways(server: str, page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": 390, "height": 844})
    table = opened(page, f"{server}/bits")
    table.locator("button.go").nth(4).click()
    bit = table.locator("tr.now .weight button").last
    bit.scroll_into_view_if_needed()
    expect(bit).to_be_visible()
    box = bit.bounding_box()
    assert box is not None
    assert box["x"] + box["width"] <= 390
    widths = page.get_by_test_id("stMain").evaluate("main => [main.scrollWidth, main.clientWidth]")
    assert widths[0] <= widths[1]
