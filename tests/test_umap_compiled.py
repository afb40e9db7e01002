"""The compiled code of UMAP is made once, and not in every process."""

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import hashlib
import numpy as np
from numba.core.dispatcher import Dispatcher
from umap_compiled import UMAP, layouts

def compiled():
    functions = [value for value in vars(layouts).values() if isinstance(value, Dispatcher)]
    return sum(sum(function.stats.cache_misses.values()) for function in functions)

before = compiled()
coordinates = UMAP(n_epochs=5, random_state=0).fit_transform(np.random.default_rng(0).normal(size=(60, 4)))
print(compiled() - before, hashlib.sha256(coordinates.tobytes()).hexdigest())
"""


def test_a_second_process_loads_what_the_first_has_compiled():
    def run():
        command = [sys.executable, "-W", "ignore", "-c", PROGRAM]
        folder = Path(__file__).resolve().parent.parent
        return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout.split()

    first, second = run(), run()
    assert second == ["0", first[1]]
