"""What every test starts from."""

from __future__ import annotations

import os

# Test processes that run side by side share the cores. Set before torch is imported; subprocesses inherit it.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    share = (os.cpu_count() or 1) // int(os.environ["PYTEST_XDIST_WORKER_COUNT"])
    os.environ.setdefault("OMP_NUM_THREADS", str(max(1, share)))
# pictures need no screen
os.environ.setdefault("MPLBACKEND", "agg")
