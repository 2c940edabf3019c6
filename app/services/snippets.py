"""A configuration as a command line and as Python spell it, and the snippet of the Explorer."""

import shlex

from app.services.tasks import quickest_engine
from cfcore.config import FLOAT_BITS, Configuration

SPELLED = ("method", "weight_bits", "activation_bits", "group_size")  # in Python, even where they are usual
FLOATS = (("weight_bits", FLOAT_BITS), ("activation_bits", FLOAT_BITS))  # which the method says already


def command(name: str, configuration: Configuration) -> str:
    """The command line that does `name` for this network."""
    words = ["python", "-m", "cfcore", *name.split(), "--model", configuration.model, "--method", configuration.method]
    if configuration.method != "float":
        words += ["--weight-bits", str(configuration.weight_bits)]
        words += ["--activation-bits", str(configuration.activation_bits)] if configuration.method == "xnor" else []
        words += ["--group-size", str(configuration.group_size)]
        words += ["--order", configuration.order] if configuration.order != "index" else []
        words += ["--source", configuration.source]
    return shlex.join(words)


def spelled(configuration: Configuration) -> str:
    """A configuration as Python makes it: method, bits and group size where it has them, and what else is not usual.

    >>> spelled(Configuration.of(method="binary-weight", group_size="layer"))
    "Configuration.of(method='binary-weight', weight_bits=1, group_size='layer')"
    """
    usual = {**Configuration.of(method=configuration.method).to_dict(), **dict.fromkeys(SPELLED)}
    if configuration.method == "float":
        usual["group_size"] = configuration.group_size
    given = configuration.to_dict().items()
    kept = ", ".join(f"{k}={v!r}" for k, v in given if v != usual[k] and (k, v) not in FLOATS)
    return f"Configuration.of({kept})"


def python(configuration: Configuration, is_there: bool) -> str:
    """Lines of Python that find the Explorer's numbers again; the accuracy only where there is a network.

    What was counted here is counted with the same engine: another sums floats in another order, which may tip an image.
    """
    lines = [
        "from cfcore.config import Configuration",
        "from cfcore.cost import network_cost",
        "",
        f"configuration = {spelled(configuration)}",
        "print(network_cost(configuration).bytes.total)",
    ]
    if is_there:
        lines[2:2] = ["from cfcore.images import load_test_set", "from cfcore.evaluate import evaluate, obtain"]
        engine = f', "{quickest_engine(configuration)}"' if configuration.source == "post-training" else ""
        lines.append(f"print(evaluate(obtain(configuration), load_test_set(){engine}).accuracy)")
    return "\n".join(lines)
