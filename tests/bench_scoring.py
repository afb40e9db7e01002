"""How long does scoring take at the size of the challenge: 49,633 photographs of 179 families in 30,000 clusters?

    make bench

One partition, every measure, with its interval; and the AMI alone against scikit-learn's, in one run.
"""

import sys
import time
from pathlib import Path

import numpy as np
from sklearn.metrics import adjusted_mutual_info_score

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import scoring

random = np.random.default_rng(0)
family = random.integers(179, size=49_633)
species = family * 100 + random.integers(40, size=len(family))
found = np.unique(family * 1000 + random.integers(255, size=len(family)), return_inverse=True)[1]


def timed(work):
    """What comes out of it, and the seconds that it takes."""
    began = time.perf_counter()
    return work(), time.perf_counter() - began


print(f"{len(species):,} rows, {len(np.unique(species)):,} species, {found.max() + 1:,} clusters")
ours, quick = timed(lambda: scoring.mutual_information(scoring.contingency(species, found))["ami"])
theirs, slow = timed(lambda: adjusted_mutual_info_score(species, found))
print(f"AMI {ours:.6f} and {theirs:.6f} by scikit-learn, {slow / quick:.0f} times faster")
rows = scoring.codes(species), found, family
groups = scoring.jackknife_groups(species)
table, whole = timed(lambda: scoring.jackknife_replicates(lambda part: scoring.agreement(*(r[part] for r in rows)), groups))
print(f"{table.shape[1]} measures with intervals over {len(table) - 1} groups of species: {whole:.0f} s")
