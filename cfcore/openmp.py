"""OpenMP shares out torch's loops among the cores; this says how long its threads wait for each other."""

from __future__ import annotations

import os

SPINS = "3000"  # fewer are slower on an idle machine, more are slower on a busy one


def give_way() -> None:
    """Have waiting threads leave their core to others soon; to be called before torch is loaded.

    libgomp's threads spin for milliseconds. Where another program is at work, the thread that they wait for may be the
    one without a core, and every loop takes that long. What the environment says already stays as it is.
    Source: https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
