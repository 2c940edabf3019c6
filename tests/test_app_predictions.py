"""The Predictions page, run without a browser: a test says how the worker stands."""

import functools
import io
import re

import numpy as np
import pytest
import screen
from PIL import Image
from screen import Bench, headlines, press, text
from streamlit.testing.v1 import AppTest
from test_app_explorer import offered

from app.services import networks, predictions
from app.services.jobs import Status
from app.services.predictions_tasks import Classify, Compare, Compared
from app.views.predictions import AT_A_TIME
from cfcore.comparison import Answers, Comparison
from cfcore.config import Configuration
from cfcore.images import load_test_set

DEFAULT = Configuration()
LABELS = load_test_set().labels
page = functools.partial(screen.page, "predictions")


def made(images: int = 10_000) -> Comparison:
    """Answers of which one in ten (float) and one in five (now) are drawn at random."""
    rng = np.random.default_rng(0)
    labels = LABELS[:images]

    def answers(wrong: float) -> Answers:
        guessed = np.where(rng.random(images) < wrong, rng.integers(0, 10, images), labels)
        return Answers(guessed, rng.uniform(0.2, 1, images).astype(np.float32))

    return Comparison(labels, answers(0.1), answers(0.2))


@pytest.fixture(autouse=True)
def _counted(bench: Bench) -> None:
    bench.stands["predictions"] = Status("done", value=Compared(made(), "packed"))


def shown(app: AppTest) -> list[int]:
    """Numbers of the test images on the screen."""
    (html,) = [block.proto.body for block in app.get("html") if "<figure" in block.proto.body]
    return [int(number) for number in re.findall(r"no\. (\d+)", html)]


# ---- what opens


def test_it_opens_with_what_became_wrong() -> None:
    app, found = page(), made()
    lost, won = found.count("now wrong"), found.count("now right")
    before, after = (int((a.predictions == LABELS).sum()) for a in (found.before, found.after))
    assert after - before == won - lost
    seen = headlines(app)
    assert seen["Accuracy"][0] == f"{after / 100:.2f} %"
    assert seen["Accuracy"][1] == f"−{(before - after) / 100:.2f} against float"
    assert seen["Right before, wrong now"] == (f"{lost:,}", f"{lost / 100:.1f} % of 10,000 images")
    assert seen["Wrong before, right now"][0] == f"{won:,}"
    assert seen["Wrong in both"][0] == f"{found.count('both wrong'):,}"
    said = text(app)
    assert f"{before:,} − {lost:,} + {won:,} = {after:,}" in said
    assert f"({won:,} − {lost:,}) / 10,000 = −{(lost - won) / 100:.2f} points" in said
    assert f"{lost + won:,} images changed sides" in said
    assert shown(app) == found.which("now wrong")[:AT_A_TIME].tolist()
    assert not app.error
    assert not app.warning


@pytest.mark.parametrize(("method", "otherwise"), [("xnor", True), ("binary-weight", False)])
def test_how_sure_a_network_is_goes_with_its_training_too(method: str, otherwise: bool) -> None:
    """Of these two only xnor at one bit was trained without smoothed labels; float was trained with them."""
    app = page(method=method, activation_bits="1" if method == "xnor" else "32")
    assert ("label smoothing" in text(app)) == otherwise


def test_every_number_says_where_it_comes_from_and_can_be_counted_again() -> None:
    app = page(group_size="layer")
    assert text(app).count("**Measured here**") >= 4
    configuration = DEFAULT.with_group_size("layer")
    codes = [code.value for code in app.code]
    assert predictions.command(configuration) in codes
    assert predictions.python(configuration) in codes


def test_pictures_and_charts_can_be_read_aloud() -> None:
    app = page()
    charts = app.get("plotly_chart")
    assert len(charts) == 3
    assert all(len(chart.proto.alt) > 40 for chart in charts)
    (html,) = [block.proto.body for block in app.get("html") if "<figure" in block.proto.body]
    assert html.count("<img ") == html.count('alt="Test image ') == AT_A_TIME
    assert html.count('aria-label="right"') == html.count('aria-label="wrong"') == AT_A_TIME


# ---- which images


def test_images_are_filtered_by_change_and_class_and_the_page_starts_anew() -> None:
    app, found = page(), made()
    app.pagination(key="sheet").set_value(3).run()
    lost = found.which("now wrong").tolist()
    assert shown(app) == lost[2 * AT_A_TIME : 3 * AT_A_TIME]
    app.selectbox(key="change").set_value("now right").run()
    assert app.session_state["sheet"] == 1
    assert shown(app) == found.which("now right")[:AT_A_TIME].tolist()
    app.selectbox(key="class").set_value("cat").run()
    app.selectbox(key="named").set_value("cat").run()
    assert shown(app) == found.which("now right", 3, 3)[:AT_A_TIME].tolist()
    app.selectbox(key="named").set_value("dog").run()
    assert "No image matches." in text(app)


def test_a_link_reproduces_the_screen() -> None:
    app = page(change="all", **{"class": "ship", "named": "truck"})
    assert shown(app) == made().which("all", 8, 9)[:AT_A_TIME].tolist()
    assert shown(page(sheet="4")) == made().which("now wrong")[3 * AT_A_TIME : 4 * AT_A_TIME].tolist()


@pytest.mark.parametrize("sheet", ["0", "-1", "100000", "banana", "1e9", "2.5", ""])
def test_nonsense_in_the_address_shows_the_usual(sheet: str) -> None:
    app = page(change="worse", named="<b>", sheet=sheet, **{"class": "lion"})
    assert shown(app) == made().which("now wrong")[:AT_A_TIME].tolist()


def test_fewer_pages_do_not_strand_the_reader(bench: Bench) -> None:
    """Another configuration may have fewer images of a kind than the page that was looked at."""
    app = page()
    last = -(-made().count("now wrong") // AT_A_TIME)
    app.pagination(key="sheet").set_value(last).run()
    bench.stands["predictions"] = Status("done", value=Compared(made(2_000), "packed"))
    app.run()
    assert not app.exception
    assert shown(app)


def test_the_commonest_mistake_is_a_click_away() -> None:
    app, found = page(), made()
    true, named, _ = predictions.commonest_mistake(found)
    press(app, f"Show the images above: {true} now taken for {named}")
    assert {key: app.selectbox(key=key).value for key in ("change", "class", "named")} == {
        "change": "now wrong",
        "class": true,
        "named": named,
    }
    assert shown(app) == predictions.which(found, "now wrong", true, named)[:AT_A_TIME]


# ---- while it is counted, and where there is nothing to count


def test_until_there_is_an_answer_the_shipped_accuracies_speak(bench: Bench) -> None:
    bench.stands["predictions"] = Status("running", share=0.3, step="asking")
    app = page()
    assert {value for value, _ in headlines(app).values()} == {"…"}
    entry, floats = networks.trained(DEFAULT), networks.trained(DEFAULT.float_reference)
    assert entry is not None
    assert floats is not None
    assert f"{entry.accuracy:.2f} %, and {floats.accuracy:.2f} % for float" in text(app)
    assert bench.asked == [Compare(DEFAULT, networks.folder())]


def test_the_first_thousand_are_shown_while_the_others_are_counted(bench: Bench) -> None:
    bench.stands["predictions"] = Status("running", share=0.5, step="asking", value=Compared(made(1_000), "packed"))
    app = page()
    assert headlines(app)["Accuracy"][0].endswith("% so far")
    assert headlines(app)["Wrong in both"][1].endswith("of 1,000 images")
    assert max(shown(app)) < 1_000


def test_it_can_be_stopped_and_a_failure_is_a_sentence(bench: Bench) -> None:
    bench.stands["predictions"] = Status("running", share=0.5, step="asking")
    app = page()
    press(app, "Stop")
    app.run()
    assert "Stopped before it was done." in text(app)
    assert app.session_state["given-up-predictions"][1].state == "cancelled"
    bench.stands["predictions"] = Status("failed", problem="It broke. Start it again.")
    app.run()
    assert "It broke. Start it again." in text(app)


def test_float_is_compared_with_nothing(bench: Bench) -> None:
    app = page(method="float")
    assert "there is nothing to compare it with" in app.info[0].value
    assert bench.asked == []
    assert not app.metric
    press(app, "Choose xnor")
    assert "Right before, wrong now" in headlines(app)


def test_what_is_not_trained_can_be_quantized(bench: Bench) -> None:
    app = page(weight_bits="3")
    assert "No network trained with this configuration is shipped." in app.info[0].value
    assert bench.asked == []
    press(app, "Quantize after training")
    assert set(bench.asked) == {Compare(Configuration(weight_bits=3, source="post-training"), networks.folder())}


def test_a_model_without_float_says_how_to_get_one(bench: Bench) -> None:
    app = page(model="resnet56")
    assert "`python -m cfcore train --model resnet56 --method float`" in app.info[0].value
    assert bench.asked == []


def test_a_missing_manifest_is_one_sentence(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.setenv("CFCORE_PRETRAINED", str(tmp_path))
    assert "There is no manifest.json" in page().error[0].value


# ---- a picture of one's own


def upload(app: AppTest, content: bytes, name: str = "mine.png") -> None:
    app.file_uploader(key="picture").upload(name, content, "image/png").run()
    assert not app.exception


def png(width: int, height: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (width, height), (10, 200, 30)).save(out, "PNG")
    return out.getvalue()


def test_both_networks_name_the_picture(bench: Bench) -> None:
    floats, own = (0.0, 0.0, 0.5, 0.3, 0.2, *[0.0] * 5), (0.9, 0.06, 0.04, *[0.0] * 7)
    bench.stands["picture"] = Status("done", value=(floats, own))
    app = page()
    upload(app, png(300, 100))
    assert bench.asked[-1] == Classify(DEFAULT, networks.folder(), bytes((10, 200, 30)) * 32 * 32)
    assert headlines(app)["Float"] == ("bird", "confidence 50.0 %")
    assert headlines(app)["This network"] == ("airplane", "confidence 90.0 %")
    said = text(app)
    assert "then cat 30.0 %, deer 20.0 %" in said
    assert "100 × 100 of 300 × 100 pixels" in said
    assert predictions.python_picture(DEFAULT) in [code.value for code in app.code]
    assert "name one of them whatever the picture shows" in said


def test_of_a_float_configuration_float_alone_answers(bench: Bench) -> None:
    bench.stands["picture"] = Status("done", value=((0.5, 0.5, *[0.0] * 8),))
    app = page(method="float")
    upload(app, png(40, 40))
    assert list(headlines(app)) == ["Float"]


def test_a_file_that_is_no_picture_is_a_sentence(bench: Bench) -> None:
    app = page()
    upload(app, b"<script>alert(1)</script>")
    assert "holds no PNG, JPEG or WebP picture" in app.error[0].value
    assert not any(isinstance(task, Classify) for task in bench.asked)


def test_the_controls_of_this_page_are_its_own() -> None:
    assert offered(page())[-3:] == ["change", "class", "named"]
