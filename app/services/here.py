"""The machine that serves the page, and the versions of what runs on it."""

import platform
from dataclasses import dataclass, field
from importlib.metadata import version
from typing import ClassVar

from app.services.worker_process import Report
from cfcore import __version__
from cfcore.timings import core_count, cpu_name

PACKAGES = ("torch", "numba", "numpy", "streamlit", "plotly")


@dataclass(frozen=True)
class Vectors:
    """What the kernels use, asked of the compiler: only the worker has it."""

    kind: str = field(default="vectors", compare=False)
    rank: ClassVar[int] = 0

    def run(self, report: Report) -> str:
        from cfcore.kernels.isa import ISA

        return ISA.name


def facts(vectors: str | None) -> dict[str, str]:
    """What a number measured here depends on; `vectors` once they are known."""
    return {
        "Processor": f"{cpu_name()}, {core_count()} cores",
        "Kernels use": vectors or "…",
        "System": f"{platform.system()} {platform.release()}",
        "Python": platform.python_version(),
        "This project": __version__,
        **{name: version(name) for name in PACKAGES},
    }
