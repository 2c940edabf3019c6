"""The page about scaling factors in a real browser: a cell is touched, and the link brings the screen back."""

import pytest
from browser import choose, expect_number, number, settled
from playwright.sync_api import Page, expect

from app.services import scaling
from cfcore.config import Configuration

pytestmark = pytest.mark.browser

POST = Configuration(source="post-training")
MIDDLE = """(chart, [layer, group]) => {
    const { xaxis, yaxis, _size } = chart._fullLayout;
    const box = chart.getBoundingClientRect();
    return [box.x + _size.l + xaxis.d2p(group), box.y + _size.t + yaxis.d2p(layer)];
}"""


def touch(page: Page, layer: str, group: int) -> None:
    """Click on the middle of a cell of the map."""
    chart = page.locator(".st-key-factors-map .js-plotly-plot")
    expect(chart.locator(".heatmaplayer image")).to_be_attached()
    chart.scroll_into_view_if_needed()
    x, y = chart.evaluate(MIDDLE, [layer, group])
    page.mouse.move(x, y)
    expect(page.locator(".st-key-factors-map .hoverlayer .hovertext")).to_contain_text(f"{layer}, group {group}")
    page.mouse.click(x, y)


def test_a_touched_cell_shows_its_numbers_and_so_does_its_link(server: str, page: Page) -> None:
    found = scaling.at_once(POST)
    assert found is not None
    page.goto(f"{server}/scaling?source=post-training")
    expect_number(page, "Sharing adds", f"{found.layer('convs.18').increase(0):.2f} %")
    settled(page)
    touch(page, "convs.14", 2)
    layer = found.layer("convs.14")
    expect_number(page, r"α of group 2 in convs\.14", f"{layer.alphas[2]:.5f}")
    expect_number(page, "Sharing adds", f"{layer.increase(2):.2f} %")
    settled(page)
    assert "layer=convs.14" in page.url
    assert "group=2" in page.url
    touch(page, "convs.8", 1)  # a second touch counts as the first
    expect_number(page, r"α of group 1 in convs\.8", f"{found.layer('convs.8').alphas[1]:.5f}")
    settled(page)
    page.reload()
    expect_number(page, r"α of group 1 in convs\.8", f"{found.layer('convs.8').alphas[1]:.5f}")


def test_the_keyboard_alone_chooses_layer_group_and_size(server: str, page: Page) -> None:
    page.goto(f"{server}/scaling?source=post-training")
    settled(page)
    choose(page, "group_size", "4")
    expect(page.get_by_text("Filters 0 to 3")).to_be_visible()
    settled(page)
    choose(page, "group", "9")
    found = scaling.at_once(POST.with_group_size(4))
    assert found is not None
    expect_number(page, r"α of group 9 in convs\.18", f"{found.layer('convs.18').alphas[9]:.5f}")
    settled(page)
    assert number(page, "Sharing adds") == f"{found.layer('convs.18').increase(9):.2f} %"


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_phone_shows_it_without_scrolling_sideways(server: str, page: Page, scheme: str) -> None:
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{server}/scaling?source=post-training&group_size=1")
    settled(page)
    expect(page.locator(".js-plotly-plot")).to_have_count(6)
    widths = page.get_by_test_id("stMain").evaluate("main => [main.scrollWidth, main.clientWidth]")
    assert widths[0] <= widths[1]
    formula = page.locator(".katex-html").first.bounding_box()
    assert formula is not None
    assert 0 <= formula["x"] < formula["x"] + formula["width"] <= 390
