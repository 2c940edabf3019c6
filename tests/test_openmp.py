"""Threads that wait leave their core to others: said before torch is loaded, and never against the user's word."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from cfcore.openmp import SPINS

WORKER = """
from multiprocessing import Pipe
from app.services.worker_process import serve
ours, theirs = Pipe()
ours.close()
serve(theirs)
"""
COMMAND = "import sys; sys.argv = ['cfcore', 'cost']; from cfcore.__main__ import main; main()"
SAID = "\nimport os, sys; print(os.environ.get('GOMP_SPINCOUNT'), 'torch' in sys.modules)"


@pytest.mark.parametrize("program", [WORKER, COMMAND], ids=["worker", "command"])
@pytest.mark.parametrize(
    ("own", "expected"),
    [({}, SPINS), ({"GOMP_SPINCOUNT": "7"}, "7"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "None")],
)
def test_whatever_loads_torch_says_it_first(program: str, own: dict[str, str], expected: str) -> None:
    environment = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")} | own
    command = [sys.executable, "-c", program + SAID]
    root = Path(__file__).parents[1]
    said = subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=True).stdout
    assert said.splitlines()[-1] == f"{expected} False"
