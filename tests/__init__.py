"""Tests. Those that run side by side have a core each: threads beyond it would only take turns."""

import os

if os.environ.get("PYTEST_XDIST_WORKER"):
    for _name in ("MKL_NUM_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"):  # read when a library is loaded
        os.environ.setdefault(_name, "1")
