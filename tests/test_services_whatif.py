"""What the What-if page lists and compares, against the cost model's own ledger and arithmetic done by hand."""

import contextlib
import io
import json
import shlex
import subprocess
import sys
from dataclasses import replace
from itertools import pairwise

import pytest

from app.services import networks, snippets, speed, whatif, whatif_pair
from app.services.whatif import Candidate
from cfcore.config import MODELS, Configuration
from cfcore.cost import network_cost
from cfcore.manifest import entries

DEFAULT = Configuration()
ALONE = DEFAULT.with_group_size(1)
FLOAT = Configuration.of(method="float")
WEIGHTS = Configuration.of(method="binary-weight", group_size=4)


def one(configuration: Configuration) -> Candidate:
    found = whatif.candidates(configuration.model, (configuration,))
    (only,) = [candidate for candidate in found if candidate.configuration == configuration]
    return only


def made(name: str, size: int, accuracy: float | None) -> Candidate:
    """A network with only what the questions need; `name` is float, or the group size."""
    configuration = FLOAT if name == "float" else Configuration(group_size=int(name))
    return replace(one(DEFAULT), configuration=configuration, bytes=size, accuracy=accuracy)


# ---- the table


def test_what_no_label_can_tell_apart_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    entry = networks.trained(DEFAULT)
    assert entry is not None
    others = [
        replace(entry, configuration=replace(DEFAULT, **change)) for change in ({"width": 0.5}, {"input_scale": True})
    ]
    monkeypatch.setattr(networks, "shipped", lambda: (entry, *others))
    assert one(DEFAULT).accuracy == entry.accuracy
    labels = [candidate.label for candidate in whatif.candidates("resnet20")]
    assert len(labels) == len(set(labels))
    assert [place.chosen for place in networks.places(DEFAULT)] == [True]


def test_every_usual_configuration_is_listed_once() -> None:
    found = [candidate.configuration for candidate in whatif.candidates("resnet20")]
    usual = 1 + (4 + 4 * 4) * 7  # float; bits 1, 2, 4, 8 of weights, and of both; m = 1, 2, …, 32 and layer
    ships = {entry.configuration for entry in entries() if entry.configuration.model == "resnet20"}
    others = ships - set(whatif.usual("resnet20"))
    assert len(found) == len(set(found)) == usual + len(others)
    for m in (1, 2, 4, 8, 16, 32, "layer"):
        assert Configuration(weight_bits=8, activation_bits=2, group_size=m) in found
    assert len(whatif.usual("vgg_small")) == 1 + (4 + 4 * 4) * 10


@pytest.mark.parametrize(
    "configuration",
    [
        DEFAULT,
        FLOAT,
        WEIGHTS,
        Configuration(weight_bits=4, activation_bits=2, group_size="layer"),
        Configuration(weight_bits=3, group_size=5, order="sorted"),
        Configuration(model="vgg_small", group_size=64),
    ],
    ids=lambda configuration: configuration.name,
)
def test_the_computed_numbers_are_the_ledgers(configuration: Configuration) -> None:
    found, cost = one(configuration), network_cost(configuration)
    assert (found.bytes, found.ratio) == (cost.bytes.total, cost.ratio)
    assert found.scaling_factors == sum(layer.groups for layer in cost.layers)
    assert (found.float_macs, found.bitwise_macs) == (cost.operations.float_macs, cost.operations.binary_macs)
    assert found.fewer_operations == cost.operations.network_speedup
    quantized = network_cost(replace(DEFAULT, model=configuration.model)).layers  # which of them do change
    changed = [layer for layer, other in zip(cost.layers, quantized, strict=True) if other.quantized]
    weights = sum(layer.filters * layer.weights_per_filter for layer in changed)
    assert found.bits_per_weight == pytest.approx(8 * sum(layer.bytes.total for layer in changed) / weights)


def test_bits_a_weight_by_hand() -> None:
    """ResNet-20 has 19 convolutions; all but the first change: 6 + 5 + 5 within a width, 2 between."""
    filters, weights = 6 * 16 + 6 * 32 + 6 * 64, 144 * 16 * 6 + 32 * (144 + 5 * 288) + 64 * (288 + 5 * 576)
    alone = one(Configuration(group_size=1))
    assert alone.scaling_factors == filters
    assert alone.bits_per_weight == pytest.approx((weights + 32 * filters) / weights)
    assert one(DEFAULT).scaling_factors == filters / 16
    assert one(FLOAT).bits_per_weight == 32
    assert one(FLOAT).scaling_factors == 0


def test_accuracy_is_the_manifests_or_none() -> None:
    known = {entry.configuration: (entry.accuracy, entry.epochs) for entry in entries()}
    for model in MODELS:
        found = {c.configuration: (c.accuracy, c.epochs) for c in whatif.candidates(model)}
        assert {c: said for c, said in found.items() if said != (None, None)} == {
            c: said for c, said in known.items() if c.model == model
        }


def test_the_most_accurate_come_first_then_the_smallest() -> None:
    found = whatif.candidates("resnet20")
    trained = [candidate for candidate in found if candidate.accuracy is not None]
    assert found[: len(trained)] == trained
    assert [c.accuracy for c in trained] == sorted((c.accuracy for c in trained), reverse=True)
    rest = [candidate.bytes for candidate in found[len(trained) :]]
    assert rest == sorted(rest)


def test_what_is_asked_for_joins_the_table_once() -> None:
    odd = Configuration(weight_bits=3, group_size=5)
    assert len(whatif.candidates("resnet20", (odd, odd, DEFAULT))) == len(whatif.candidates("resnet20")) + 1
    assert one(odd).accuracy is None


def test_limits_double_and_the_last_leaves_only_the_largest_out() -> None:
    sizes = [size for size in whatif.LIMITS.values() if size]
    assert sizes[0] == 25_000
    assert all(b == 2 * a for a, b in pairwise(sizes))
    largest = max(network_cost(Configuration.of(model=model, method="float")).bytes.total for model in MODELS)
    assert sizes[-1] < largest <= 2 * sizes[-1]
    assert list(whatif.LIMITS)[:3] == ["any", "25 kB", "50 kB"]
    assert whatif.LIMITS["1.6 MB"] == 1_600_000
    found = [made("1", 25_000, None), made("2", 25_001, None)]
    assert whatif.fitting(found, 25_000) == found[:1]
    assert whatif.fitting(found, None) == found


def test_places_are_the_trained_ones() -> None:
    found = whatif.candidates("resnet20")
    places = whatif.places(found, 50_000, {DEFAULT: "A", Configuration(weight_bits=8): "B"})
    assert len(places) == len([candidate for candidate in found if candidate.accuracy is not None])
    assert [(place.name, place.bytes) for place in places if place.chosen] == [("A", one(DEFAULT).bytes)]
    assert {place.label for place in places if place.pale} == {place.label for place in places if place.bytes > 50_000}
    assert "float" in {place.label for place in places if place.pale}
    assert not any(place.pale for place in whatif.places(found, None, {}))


# ---- names


def test_every_label_is_found_again() -> None:
    odd = Configuration(weight_bits=3, activation_bits=7, group_size=5, order="sorted")
    for model in ("resnet20", "vgg_small"):
        labels = [whatif.label(configuration) for configuration in whatif.usual(model)]
        assert len(set(labels)) == len(labels)
        for configuration in (*whatif.usual(model), replace(odd, model=model)):
            assert whatif.configuration_of(whatif.label(configuration), model) == configuration


@pytest.mark.parametrize(
    "text",
    [
        "",
        "banana",
        "Float",
        "xnor",
        "xnor, 9 × 1 bits, m = 16",
        "xnor, 1 × 0 bits, m = 16",
        "xnor, 1 × 1 bits, m = 0",
        "xnor, 1 × 1 bits, m = 65",
        "xnor, 1 × 1 bits, m = 64",  # which is layer-wise
        "xnor, 1 × 1 bits, m = 1, sorted",
        "xnor, 1 × 1 bits, m = ١",
        "binary-weight, 1 × 1 bits, m = 16",
        "xnor, 1-bit weights, m = 16",
        "xnor, 1 × 1 bits, m = 16 ",
    ],
)
def test_what_is_no_label_names_nothing(text: str) -> None:
    assert whatif.configuration_of(text, "resnet20") is None


def test_a_configuration_is_listed_as_trained() -> None:
    assert whatif.own(Configuration(source="post-training")) == DEFAULT


def test_a_counterpart_differs_in_what_is_asked_about() -> None:
    assert whatif_pair.against(DEFAULT) == DEFAULT.with_group_size(1)
    assert whatif_pair.against(WEIGHTS.with_group_size(1)) == FLOAT
    assert whatif_pair.against(FLOAT) == DEFAULT


# ---- which one?


def test_the_answers_are_those_of_a_search_by_eye() -> None:
    floats = made("float", 1000, 92.0)
    small, large = made("1", 40, 79.0), made("2", 60, 91.0)
    twin, unknown = made("4", 50, 91.0), made("8", 10, None)
    found = [small, large, twin, floats, unknown]
    assert whatif.best(found) == floats
    assert whatif.best([small, large, twin]) == twin
    assert whatif.best([unknown]) is None
    assert whatif.near_float(found) == (floats, twin)  # exactly one point less is still near
    assert whatif.near_float([floats, small, unknown]) == (floats, None)
    assert whatif.near_float([small, large]) == (None, None)
    assert whatif.level_with(twin, found) == [large]
    assert whatif.level_with(small, found) == []


def test_chance_is_that_of_two_counts() -> None:
    a, b = made("1", 40, 90.0), made("2", 40, 80.0)
    variance = 0.9 * 0.1 / 10_000 + 0.8 * 0.2 / 10_000
    assert whatif.chance(a, b) == pytest.approx(100 * 1.96 * variance**0.5)
    assert whatif.chance(a, made("2", 40, None)) is None


# ---- two of them


def test_every_quantity_is_b_less_a_with_its_kind() -> None:
    a, b = one(DEFAULT), one(FLOAT)
    timed = whatif_pair.timings(DEFAULT, FLOAT, networks.folder())
    found = {quantity.name: quantity for quantity in whatif_pair.quantities(a, b, timed)}
    assert found["bytes"].change == network_cost(FLOAT).bytes.total - network_cost(DEFAULT).bytes.total
    assert [name for name, quantity in found.items() if quantity.kind == "measured"] == ["accuracy", "seconds"]
    assert found["seconds"].change is not None
    assert found["seconds"].change > 0  # float takes longer
    assert {name: q.to_dict()["b_minus_a"] for name, q in found.items()}["scaling_factors"] == -42
    units = {name: q.to_dict()["unit"] for name, q in found.items()}
    assert (units["accuracy"], units["bytes"], units["scaling_factors"]) == ("%", "bytes", "")  # a count has none
    unknown = {q.name: q for q in whatif_pair.quantities(a, one(Configuration(weight_bits=8)), None)}
    assert unknown["accuracy"].change is None
    assert "seconds" not in unknown


def test_times_are_of_one_set_and_the_right_row() -> None:
    timed = whatif_pair.timings(DEFAULT, FLOAT, networks.folder())
    assert timed is not None
    found = speed.shipped_network("resnet20", (1, 1), 1, networks.folder(), timed.name)
    assert found is not None
    name, benchmark = found
    assert name == timed.name == speed.names(networks.folder())[0]
    rows = {row.backend: row for row in benchmark.rows}
    assert timed.seconds == (rows["packed"].median_s, rows["torch-fp32"].median_s)
    assert rows["packed"].stage == "network"
    other = whatif_pair.timings(FLOAT, DEFAULT.with_group_size("layer"), networks.folder())
    assert other is not None
    assert other.seconds == timed.seconds[::-1]


def test_what_was_not_timed_has_no_time() -> None:
    folder = networks.folder()
    alone = whatif_pair.timings(DEFAULT, WEIGHTS, folder)
    assert alone is not None
    assert alone.seconds[0] is not None
    assert alone.seconds[1] is None
    assert whatif_pair.timings(WEIGHTS, Configuration(weight_bits=3), folder) is None
    assert whatif_pair.timings(Configuration(model="resnet56"), Configuration.of(model="resnet56"), folder) is None


def test_a_set_that_timed_both_comes_before_one_that_timed_one(monkeypatch: pytest.MonkeyPatch) -> None:
    folder = networks.folder()
    timed = whatif_pair.timings(DEFAULT, FLOAT, folder)
    assert timed is not None
    lone = replace(timed.benchmark, rows=tuple(r for r in timed.benchmark.rows if r.backend == "packed"))
    sets = {"first": [lone], "second": [timed.benchmark]}
    monkeypatch.setattr(speed, "names", lambda folder: list(sets))
    monkeypatch.setattr(speed, "of_set", lambda name, folder: sets[name])
    both, one_only = whatif_pair.timings(DEFAULT, FLOAT, folder), whatif_pair.timings(DEFAULT, WEIGHTS, folder)
    assert both is not None
    assert one_only is not None
    assert (both.name, one_only.name) == ("second", "first")


# ---- the same numbers from the snippets


def program(pair: tuple[Candidate, Candidate], timed: whatif_pair.Timings | None = None, images: int = 100) -> str:
    """What the snippet prints, asked about the first images."""
    text = whatif_pair.code(pair, timed, networks.folder())
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        exec(text.replace("load_test_set()", f"load_test_set().first({images})"), {})
    return said.getvalue()


def test_the_python_snippet_prints_what_the_page_shows() -> None:
    pair = one(DEFAULT), one(Configuration(weight_bits=8, group_size=5))
    *costs, accuracy = (line.split() for line in program(pair).splitlines())
    for i, (name, found) in enumerate(zip("AB", pair, strict=True)):
        sizes = (found.bytes, found.ratio, found.bits_per_weight, found.scaling_factors)
        counts = (found.float_macs, found.bitwise_macs, found.fewer_operations)
        assert costs[2 * i : 2 * i + 2] == [[name, *map(str, sizes)], [name, *map(str, counts)]]
    assert accuracy[0] == "A"
    assert abs(float(accuracy[1]) - (pair[0].accuracy or 0)) < 300 / 100**0.5 / 2  # three deviations of 100 images


def test_the_snippets_of_two_trained_networks_ask_both_about_the_same_images() -> None:
    pair = one(ALONE), one(DEFAULT)
    last = program(pair).splitlines()[-1].split()
    line = whatif_pair.commands(pair, None, networks.folder()).splitlines()[-1]
    words = [sys.executable, *shlex.split(line)[1:], "--images", "100", "--json"]
    document = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    assert document["against"] == ALONE.name
    numbers = [document[name] for name in ("now_wrong", "now_right", "difference", "chance")]
    assert [float(word) for word in last] == pytest.approx(numbers)


def test_the_snippet_of_untrained_networks_counts_nothing() -> None:
    untrained = one(Configuration(weight_bits=8))
    assert "evaluate" not in whatif_pair.code((untrained, untrained), None, networks.folder())
    assert "evaluate" not in whatif_pair.commands((untrained, untrained), None, networks.folder())


def test_the_commands_print_what_the_page_shows() -> None:
    pair = one(Configuration(weight_bits=8, group_size=2)), one(FLOAT)
    first, cost, second, evaluate, float_cost = whatif_pair.commands(pair, None, networks.folder()).splitlines()
    assert (first, second) == ("# A", "# B")
    assert evaluate == snippets.command("evaluate", FLOAT)
    for line, found in ((cost, pair[0]), (float_cost, pair[1])):
        words = [sys.executable, *shlex.split(line)[1:], "--json"]
        document = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
        assert document["bytes"]["total"] == found.bytes
        assert document["operations"]["network_speedup"] == found.fewer_operations


def test_the_snippets_print_the_recorded_times() -> None:
    pair, folder = (one(Configuration(group_size=2)), one(FLOAT)), networks.folder()
    timed = whatif_pair.timings(pair[0].configuration, FLOAT, folder)
    assert timed is not None
    printed = {tuple(words[:-1]): float(words[-1]) for words in map(str.split, program(pair, timed, 50).splitlines())}
    assert (printed["1", "1", "packed"], printed["1", "1", "torch-fp32"]) == timed.seconds
    line = whatif_pair.commands(pair, timed, folder).splitlines()[-1]
    words = [sys.executable, *shlex.split(line)[1:], "--json"]
    rows = json.loads(subprocess.run(words, capture_output=True, text=True, check=True).stdout)
    (row,) = [row for row in rows if (row["layer"], row["batch"], row["weight_bits"]) == ("resnet20", 1, 1)]
    assert (row["packed_s"], row["packed_s"] * row["times_faster"]["torch-fp32"]) == pytest.approx(timed.seconds)
