"""What is shipped is what the manifest says: files, bytes, and of three networks the accuracy, counted again."""

import shlex
from dataclasses import fields, replace

import numpy as np
import pytest

from cfcore.checkpoint import header_size
from cfcore.config import Configuration
from cfcore.cost import network_cost
from cfcore.evaluate import evaluate
from cfcore.images import load_test_set
from cfcore.manifest import PRETRAINED, entries, load, verified
from cfcore.results import Paired

XNOR = Configuration()
BINARY_WEIGHT = Configuration.of(method="binary-weight")
FLOAT = Configuration.of(method="float")
VGG_XNOR, VGG_BINARY_WEIGHT = (replace(each, model="vgg_small_half") for each in (XNOR, BINARY_WEIGHT))
LARGEST_FOLDER = 45 * 10**6


@pytest.fixture(scope="module")
def test_set():
    return load_test_set()


@pytest.fixture(scope="module")
def shipped():
    return {entry.configuration: entry for entry in entries()}


def test_the_first_grid_is_there(shipped):
    wanted = {replace(c, group_size=m) for c in (XNOR, BINARY_WEIGHT) for m in (1, 16, "layer")} | {FLOAT}
    assert wanted <= shipped.keys()


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.file)
def test_each_file_is_its_row(entry):
    content = verified(entry).read_bytes()
    assert len(content) == entry.bytes
    assert load(entry).configuration == entry.configuration
    assert len(content) - header_size(content) == network_cost(entry.configuration).bytes.total
    assert entry.command.startswith("cfcore train ")
    assert entry.accuracy == sorted(entry.seeds.values())[len(entry.seeds) // 2]  # the median one, or the better middle


def run_name(command):
    """What `cfcore train` calls the run of this command."""
    words = shlex.split(command)[2:]
    names = [option.removeprefix("--").replace("-", "_") for option in words[::2]]
    given = dict(zip(names, words[1::2], strict=True))
    if "name" in given:
        return given["name"], given
    settings = {f.name: given[f.name] for f in fields(Configuration) if f.name in given}
    numbers = {name: int(value) if value.isdigit() else value for name, value in settings.items()}
    return Configuration.of(**numbers).name, given


@pytest.mark.parametrize("entry", entries(), ids=lambda entry: entry.file)
def test_each_command_makes_what_the_next_starts_from(entry):
    made = set()
    for command in entry.command.split(" && "):
        name, given = run_name(command)
        assert {given[role] for role in ("start", "teacher") if role in given} <= made
        made.add(name)
    assert name == entry.configuration.name


@pytest.mark.parametrize("configuration", [XNOR, BINARY_WEIGHT, FLOAT], ids=lambda c: c.name)
def test_the_accuracy_can_be_counted_again(configuration, shipped, test_set):
    entry = shipped[configuration]
    counted = evaluate(load(entry), test_set)
    # the float layers are summed in another order on another CPU, which may tip an image in a thousand
    assert abs(counted.correct - round(100 * entry.accuracy)) <= 10


def test_packed_bits_and_float_arithmetic_agree(shipped, test_set):
    network = load(shipped[XNOR])
    packed = evaluate(network, test_set, "packed").predictions
    simulated = evaluate(network, test_set, "simulated").predictions
    # sums of floats in another order may tip an activation that is almost 0, and rarely an image with it
    assert np.sum(packed == simulated) >= 9_990


@pytest.mark.parametrize("together", [BINARY_WEIGHT, XNOR, VGG_BINARY_WEIGHT, VGG_XNOR], ids=lambda c: c.name)
def test_sharing_at_one_bit_costs_little(together, shipped):
    difference = Paired.of(shipped[together].seeds, shipped[together.with_group_size(1)].seeds)
    assert abs(difference.mean) <= 0.4


def test_the_folder_stays_small_enough_to_clone():
    assert sum(file.stat().st_size for file in PRETRAINED.rglob("*") if file.is_file()) < LARGEST_FOLDER
