"""How fast packed convolutions and networks are here, beside torch's best: results are checked, then timed in rounds.

Run it in a process of its own: it sets torch's number of threads, and two benchmarks at once would time each other.
"""

from cfcore.bench.conv import bench_conv
from cfcore.bench.network import bench_network

__all__ = ["bench_conv", "bench_network"]
