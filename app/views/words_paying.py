"""Where packed bits pay: the sentences beside the map, counted in the records."""

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import permutations

from app.figures.paying import bits
from app.figures.speed import BACKENDS
from app.services.speed import Crossover
from app.views.words import count, listed

MAP = (
    "Shown: {set}. Each cell is torch's time divided by packed's: above 1, packed is faster; below 1, it loses. Float "
    "in, float out, each backend at its fastest. /2 means a stride of 2; blank cells were not timed."
)
PLANES = (
    "Bits are counted plane by plane, each plane of the weights with each of the activations, so packed's work grows "
    "with weight bits × activation bits. torch's types take the same time for any bits: with enough bits, they win."
)


def shares(found: Sequence[Crossover]) -> dict[str, tuple[int, int]]:
    """By bits, few first: in how many layers packed is the fastest, and of how many."""
    ordered = sorted(found, key=lambda c: (c.weight_bits * c.activation_bits, c.weight_bits))
    by_bits: dict[str, list[bool]] = {}
    for crossover in ordered:
        by_bits.setdefault(bits(crossover), []).append(crossover.pays)
    return {at: (sum(pays), len(pays)) for at, pays in by_bits.items()}


def pays(name: str, found: Sequence[Crossover]) -> str:
    """Of one set: at which bits packed is the fastest, and who is where it is not."""
    counted = shares(found)
    everywhere = [at for at, (won, of) in counted.items() if won == of]
    nowhere = [at for at, (won, of) in counted.items() if won == 0]
    said = [f"in every layer at {listed(everywhere)} bits"] if everywhere else []
    said += [f"in {won} of {of} at {at}" for at, (won, of) in counted.items() if 0 < won < of]
    said += [f"in none at {listed(nowhere)}"] if nowhere else []
    machine, threads = found[0].machine, found[0].threads
    sentence = f"**{name}** ({machine.cpu}, {count(threads, 'thread')}): packed is the fastest {', '.join(said)}."
    return f"{sentence} {winners(found)}".strip()


def winners(found: Sequence[Crossover]) -> str:
    """Who is the fastest where packed is not."""
    lost = [c for c in found if not c.pays]
    if not lost:
        return ""
    tally = Counter(c.rival for c in lost).most_common()
    each = [f"{BACKENDS.get(backend, backend)} in {times}" for backend, times in tally]
    return f"Of the {count(len(lost), 'cell')} where it loses, the fastest is {listed(each)}."


def machines_differ(sets: Mapping[str, Sequence[Crossover]]) -> str:
    """The bits at which two sets differ most in where packed pays, of the layers that both timed; else nothing."""
    pays = {name: {(bits(c), c.layer): c.pays for c in found} for name, found in sets.items()}
    gaps = []
    for a, b in permutations(pays, 2):
        for at in {each for each, _ in pays[a].keys() & pays[b].keys()}:
            both = [key for key in pays[a].keys() & pays[b].keys() if key[0] == at]
            won, other = (sum(pays[name][key] for key in both) for name in (a, b))
            gaps.append(((won - other) / len(both), at, won, a, other, b, len(both)))
    gap, at, won, a, other, b, of = max(gaps, default=(0.0, "", 0, "", 0, "", 0))
    if gap < 0.1:
        return ""
    return (
        f"The machine decides: of the {count(of, 'layer')} timed on both at {at} bits, packed is the fastest in {won} "
        f"on {a} but in {other} on {b}."
    )
