"""OpenMP shares out torch's loops among the cores; this says how long its threads wait for each other."""

from __future__ import annotations

import os

SPINS = "3000"  # fewer are slower on an idle machine, more are slower on a busy one


def give_way() -> None:
    """Have waiting threads leave their core to others soon; to be called before torch is loaded.

    libgomp's threads spin for milliseconds, which is long where another program is at work: beside a training run on
    one of two cores, quantizing a network took 15 s so, and takes 1 s. What the environment says already stays as it
    is (https://gcc.gnu.org/onlinedocs/libgomp/GOMP_005fSPINCOUNT.html).
    """
    if "OMP_WAIT_POLICY" not in os.environ:
        os.environ.setdefault("GOMP_SPINCOUNT", SPINS)
