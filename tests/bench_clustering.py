"""Speed of the default clusterer against the nested k-means of the study that this project extends: `make bench`.

An embedding of the size of the Kaggle challenge (49,633 photographs in 179 families, the largest of about 10,000) is simulated.
Both run on the same machine in the same process, one after the other. A number on the command line divides the size.
"""

import resource
import sys
import time
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import clustering
import scoring
from simulation.embeddings import EmbeddingConfig, draw_embedding

PHOTOGRAPHS, FAMILIES, DIMENSIONS = 49_633, 179, 2048


def challenge(divisor=1):
    """An embedding (n, d) in float32 and its taxa: families whose sizes fall as those of the challenge do."""
    shares = 1 / np.arange(1, FAMILIES + 1)
    species = np.maximum(1, np.round(shares / shares.sum() * PHOTOGRAPHS / 9 / divisor)).astype(int)
    config = EmbeddingConfig(tuple(species), photographs=9, dimensions=DIMENSIONS, separation=0.5)
    points, taxa = draw_embedding(config)
    return points.astype(np.float32), taxa


def main(divisor=1):
    points, taxa = challenge(divisor)
    largest = taxa["family"].value_counts().iloc[0]
    print(f"{len(points):,} x {points.shape[1]:,} in {taxa['family'].nunique()} families, the largest of {largest:,}")
    seconds = {}
    for clusterer in ("pooled_average", "nested_kmeans_30"):
        began = time.perf_counter()
        found = clustering.cluster({"only": points}, taxa["family"], clustering.Clusterer.named(clusterer))
        seconds[clusterer] = time.perf_counter() - began
        memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
        ami = scoring.ami(taxa["species"], found["species"])
        number = f"{found['species'].nunique():,} clusters for {taxa['species'].nunique():,} species"
        print(f"{clusterer}: species AMI {ami:.3f}, {number}; most memory so far {memory:.1f} GB", flush=True)
    print(f"the default is {seconds['nested_kmeans_30'] / seconds['pooled_average']:.1f} times as fast")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
