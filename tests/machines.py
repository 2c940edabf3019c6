"""Run a test with numba's compiler held to an older machine, in a process of its own: it settles on one at import."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]


def features() -> str:
    """What this machine's vectors can do, in LLVM's words."""
    from numba.core.registry import cpu_target

    return str(cpu_target.target_context.codegen().magic_tuple()[2])


def run_on(cpu: str, program: str) -> str:
    """What a Python program prints there."""
    with tempfile.TemporaryDirectory() as cache:
        environment = os.environ | {
            "NUMBA_CPU_NAME": cpu,
            "NUMBA_CPU_FEATURES": "",
            "NUMBA_CACHE_DIR": cache,
            "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests")]),
        }
        command = [sys.executable, "-c", program]
        done = subprocess.run(
            command, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=230, check=False
        )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
