"""The lessons in a real browser, by keyboard, and the way on to the page that shows more."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe
from browser import expect_number, settled
from playwright.sync_api import Page, expect

from app.services import lessons
from app.services.lessons import ONE_BIT
from app.views import words_lessons as words
from cfcore.cost import network_cost

pytestmark = pytest.mark.browser


def test_a_learner_predicts_by_keyboard_and_goes_on(server: str, page: Page) -> None:
    page.goto(f"{server}/lessons?group_size=4")
    settled(page)
    expect(page.get_by_text(words.place(1, len(words.TITLES)))).to_be_visible()
    page.get_by_test_id("stRadio").get_by_role("radio").first.focus()
    page.keyboard.press("Space")
    page.keyboard.press("ArrowDown")
    expect(page.get_by_test_id("stMetric")).to_have_count(0)  # it is not yet committed
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect_number(page, "Times smaller", f"{network_cost(ONE_BIT).ratio:.1f}×")
    expect(page.get_by_text(f"You predicted “{list(words.SIZES.values())[1]}”")).to_be_visible()
    settled(page)

    found = Axe().run(page).response["violations"]
    assert [v["id"] for v in found if v["impact"] in ("serious", "critical")] == []

    beside = follow(page, words.GOING_ON["bytes"], "model")
    expect(beside.locator(".st-key-group_size input")).to_have_value(str(ONE_BIT.group_size))
    expect(beside.locator(".st-key-method input")).to_have_value(ONE_BIT.method)
    expect(page.locator(".st-key-answer")).to_be_visible()


def test_the_way_on_to_the_timings_opens_the_same_layer(server: str, page: Page) -> None:
    page.goto(f"{server}/lessons?lesson={list(words.TITLES).index('speed') + 1}")
    settled(page)
    page.get_by_test_id("stRadio").locator("label").filter(has_text=words.TIMED_AS["torch-fp32"]).click()
    page.get_by_role("button", name=words.SHOW).press("Enter")
    beside, timed = follow(page, words.GOING_ON["speed"], "speed"), lessons.timed()[0]
    expect(beside.locator(".st-key-resnet18 input")).to_have_value(timed.asked.layer)
    expect(beside.locator(".st-key-weight_bits input")).to_have_value(str(timed.asked.weight_bits))


def follow(page: Page, label: str, view: str) -> Page:
    """The window that a lesson's link opens beside this one."""
    with page.context.expect_page() as opened:
        page.get_by_role("link", name=label).press("Enter")
    beside = opened.value
    expect(beside).to_have_url(re.compile(rf"/{view}\?"))
    settled(beside)
    expect(beside.get_by_role("alert")).to_have_count(0)
    return beside


@pytest.mark.parametrize("name", ["sharing", "counting"])
def test_an_answer_fits_on_a_phone(server: str, page: Page, name: str) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server}/lessons?lesson={list(words.TITLES).index(name) + 1}")
    settled(page)
    page.get_by_test_id("stRadio").locator("label").last.click()
    page.get_by_role("button", name=words.SHOW).click()
    expect(page.locator(".st-key-answer")).to_be_visible()
    settled(page)
    widths = page.get_by_test_id("stMain").evaluate("main => [main.scrollWidth, main.clientWidth]")
    assert widths[0] <= widths[1]
