"""The commands and programs that bring back the numbers that each lesson reveals."""

from pathlib import Path

from app.services import model as formulas
from app.services import networks, snippets, speed_code
from app.services.lessons import ADDED, CANDIDATE, EXAMPLE, ONE_BIT, VECTORS, Shared, Signs, Timed
from app.services.lessons_tasks import IMAGES, Survival
from app.services.model import Measured
from cfcore.timings import layer_name

Code = tuple[str, str]
"""Command lines, and the same in Python."""

BYTES = """\
from cfcore.config import Configuration
from cfcore.cost import network_cost

cost = network_cost({network})
for step in cost.steps:
    print(step.part, step.bytes, step.float_bytes, step.ratio)
print(cost.bytes.total, cost.bytes.scales / cost.bytes.total)
"""
SHARING = """\
from cfcore.config import Configuration
from cfcore.manifest import find
from cfcore.results import difference
from cfcore.sharing import factors

for alone, together in (
    {pairs}
):
    print(find(alone).seeds, find(together).seeds)
    found = difference(find(together), find(alone))
    print(found.mean, found.deviation, found.chance)
print(factors({together}).increase_by_order("index"))
"""
BITS = """\
import numpy as np

from cfcore.window import Window, float_sum, steps

activations, weights = np.array({activations}), np.array({weights})
window = Window(activations[:, None], weights[:, None], np.ones(1, bool), activation_bits=1, weight_bits=1)
(step,) = steps(window)
n, p = len(weights), len(weights) - step.count  # places, and those that agree
print(step.joined, p, 2 * p - n, step.total, float_sum(window))
"""
ROUNDING = """\
from cfcore.config import Configuration
from cfcore.images import load_test_set
from cfcore.evaluate import evaluate, obtain

images = load_test_set().first({images})
for configuration in (
    {networks}
):
    print(configuration.name, evaluate(obtain(configuration), images, "simulated").accuracy)
"""
SPEED = """\
from pathlib import Path

from cfcore.crossover import crossovers
from cfcore.timings import Benchmark

for row in crossovers(Benchmark.read(Path({file!r}))):
    if row.layer == {layer!r}:
        print(row.weight_bits, row.activation_bits, row.times_faster)
"""
COUNTING = """\
from cfcore.config import LayerModel
from cfcore.formula import CANDIDATES, CROSS_FILTER_SPEEDUP, XNOR_NET_SPEEDUP, estimate, vector_word_bits

print(CROSS_FILTER_SPEEDUP, XNOR_NET_SPEEDUP)
print(estimate(CANDIDATES[0]).speedup, estimate(LayerModel(word_bits=vector_word_bits(), scaling="folded")).speedup)
"""


def ledger() -> Code:
    return snippets.command("cost", ONE_BIT), BYTES.format(network=snippets.spelled(ONE_BIT))


def sharing(shared: Shared) -> Code:
    together = ONE_BIT.with_group_size("layer")
    compared = [ONE_BIT] if shared.added is None else [ONE_BIT, ADDED]
    pairs = [f"({snippets.spelled(c)}, {snippets.spelled(c.with_group_size('layer'))})," for c in compared]
    commands = ["python -m cfcore models --markdown", snippets.command("scales", together)]
    return "\n".join(commands), SHARING.format(pairs="\n    ".join(pairs), together=snippets.spelled(together))


def bits(signs: Signs) -> Code:
    """No command counts a vector that is made up."""
    return "", BITS.format(activations=list(signs.activations), weights=list(signs.weights))


def rounding(task: Survival) -> Code:
    """Of what ships: a command of a network that does not would say so."""
    of = [c for c in task.networks if c.source == "post-training" or networks.trained(c)]
    commands = [f"{snippets.command('evaluate', c)} --images {IMAGES} --engine simulated" for c in of]
    spelled = "\n    ".join(f"{snippets.spelled(c)}," for c in of)
    return "\n".join(commands), ROUNDING.format(images=IMAGES, networks=spelled)


def timings(timed: Timed, folder: Path) -> Code:
    file = speed_code.file_of(timed.name, folder)
    table = speed_code.shipped_command(timed.name, folder, "layer")
    return table, SPEED.format(file=file, layer=timed.asked.layer)


def counting(near: Measured, folder: Path) -> Code:
    commands = [formulas.formula_command(model) for model in (CANDIDATE, EXAMPLE, VECTORS)]
    commands.append(speed_code.shipped_command(near.name, folder, "layer"))
    clock = SPEED.format(file=speed_code.file_of(near.name, folder), layer=layer_name(near.conv))
    return "\n".join(commands), f"{COUNTING}\n{clock}"
