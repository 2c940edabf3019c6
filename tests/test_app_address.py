"""An address that names a control and gives it nothing: no page breaks, and each such name is said."""

import pytest
from screen import Bench, page

EMPTY = {
    "model": ("cost_kernel", "cost_operations", "cost_scaling", "cost_over", "cost_channels", "cost_weight_bits"),
    "bits": ("bits_row", "bits_channel"),
    "speed": ("against", "threads"),
    "whatif": ("listed", "at_most", "a"),
    "scaling": ("group",),
}


@pytest.mark.parametrize("view", EMPTY)
def test_an_empty_value_leaves_a_control_as_it_opens(view: str, bench: Bench) -> None:
    app = page(view, **dict.fromkeys(EMPTY[view], ""))
    said = "".join(warning.value for warning in app.warning).replace("\\", "")
    for name in EMPTY[view]:
        assert f"{name} = '' is not allowed: use what its control offers. The page shows " in said
        assert app.session_state[name] == page(view).session_state[name]


def test_an_empty_value_that_no_control_has_is_nothing_to_say(bench: Bench) -> None:
    assert not page("explorer", utm_source="").warning
