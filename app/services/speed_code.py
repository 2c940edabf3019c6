"""The commands and programs that bring back the numbers of the kernel speed page."""

import shlex
from pathlib import Path

from app.services import snippets
from cfcore.config import Configuration

MEASURED = """\
from cfcore.bench import {function}
{imports}
benchmark = {call}
for row in benchmark.rows:
    print(row.backend, row.stage, f"{{row.median_s * 1e6:.1f}} µs, {{row.gmacs:.0f}} GMAC/s", row.speedup_vs_fp32)
{points}"""
POINTS = """\
for point in points(benchmark):
    print(point.backend, point.stage, f"{point.intensity:.1f} multiply-accumulates a byte, {point.moved:.1f} GB/s")
"""
SHIPPED = """\
from pathlib import Path

from cfcore.roofline import points
from cfcore.crossover import crossovers
from cfcore.timings import Benchmark

benchmarks = Benchmark.read(Path({file!r}))
for row in crossovers(benchmarks) + crossovers(benchmarks, "network"):
    print(row.layer, row.batch, row.weight_bits, row.activation_bits, row.times_faster, row.pays)
for benchmark in benchmarks:
    if (benchmark.weight_bits, benchmark.activation_bits) == {bits}:
        for row in benchmark.rows:
            print(row.layer, row.batch, row.backend, row.stage, f"{{row.median_s * 1e6:.1f}} µs", row.gmacs)
            if row.of_port_bound:
                print(f"port bound in the same rounds: {{row.gmacs / row.of_port_bound:,.0f}} GMAC/s")
        for point in points(benchmark):
            print(point.layer, point.backend, point.stage, f"{{point.intensity:.1f}} a byte, {{point.moved:.1f}} GB/s")
"""


def conv_command(layer: str, bits: tuple[int, int], threads: int) -> str:
    """The command line that times a layer."""
    words = ["python", "-m", "cfcore", "bench", "conv", "--layers", layer, "--threads", str(threads)]
    return shlex.join([*words, "--weight-bits", str(bits[0]), "--activation-bits", str(bits[1])])


def conv_program(layer: str, bits: tuple[int, int], threads: int) -> str:
    """The same in Python."""
    call = f"bench_conv({layer!r}, threads={threads}, weight_bits={bits[0]}, activation_bits={bits[1]})"
    imports = "from cfcore.roofline import points\n"
    return MEASURED.format(function="bench_conv", imports=imports, call=call, points=POINTS)


def network_command(configuration: Configuration, batch: int, threads: int) -> str:
    """The command line that times a whole network."""
    return f"{snippets.command('bench network', configuration)} --batch {batch} --threads {threads}"


def network_program(configuration: Configuration, batch: int, threads: int) -> str:
    """The same in Python."""
    call = f"bench_network({snippets.spelled(configuration)}, batch={batch}, threads={threads})"
    imports = "from cfcore.config import Configuration\n"
    return MEASURED.format(function="bench_network", imports=imports, call=call, points="")


def shipped_command(name: str, folder: Path, stage: str) -> str:
    """The command line that prints the table of a shipped set."""
    return shlex.join(["python", "-m", "cfcore", "bench", "table", file_of(name, folder), "--stage", stage])


def shipped_program(name: str, folder: Path, bits: tuple[int, int]) -> str:
    """All that the page shows of a shipped set, in Python."""
    return SHIPPED.format(file=file_of(name, folder), bits=bits)


def file_of(name: str, folder: Path) -> str:
    """The file of a set, seen from where the server was started."""
    file, here = (folder / "bench" / f"{name}.json").resolve(), Path.cwd()
    return str(file.relative_to(here) if file.is_relative_to(here) else file)
