"""Time and memory of clusterers as a collection grows, and of the default against nested k-means: `make bench`.

Simulated embeddings with known species. First one of the size of the Kaggle challenge (49,633 photographs in 179 families, the
largest of about 10,000), then some of a thousand to a million photographs in families of about 280. Every run is a process of
its own, which only loads the embedding and clusters it; so its peak of memory is that of the clusterer.
"""

import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
import clustering
import scoring
import utils
from simulation.embeddings import EmbeddingConfig, draw_embedding

SIZES = (1_000, 10_000, 100_000, 1_000_000)
LONGEST = 25  # seconds: a clusterer that took longer at one size is not run at the next, ten times as large
CLUSTERERS = ("pooled_average", "nested_kmeans_10", "nested_hdbscan", "nested_leiden", "flat_hdbscan", "images_alone")
CHALLENGE = 49_633


def challenge():
    """An embedding of the size of the challenge: families whose sizes fall as those of the challenge do, two layers."""
    shares = 1 / np.arange(1, 180)
    species = np.maximum(1, np.round(shares / shares.sum() * CHALLENGE / 9)).astype(int)
    return draw_embedding(EmbeddingConfig(tuple(species), photographs=9, dimensions=2048, separation=0.5))


def collection(n):
    """An embedding of about n photographs: families of 31 species with nine photographs each, 256 numbers a photograph."""
    families = (31,) * max(1, round(n / 279))
    return draw_embedding(EmbeddingConfig(families, photographs=9, dimensions=256, separation=0.5))


def run(clusterer, folder):
    """Cluster the embedding in `folder`, a process of its own: prints a line of JSON."""
    points = np.load(folder / "points.npy")
    taxa = pd.read_parquet(folder / "taxa.parquet")
    layers = {"shallow": points[:, : points.shape[1] // 2], "deep": points}
    began = time.perf_counter()
    found = clustering.cluster(layers, taxa["family"], clustering.Clusterer.named(clusterer))
    seconds = time.perf_counter() - began
    # The peak of this process in kB, on Linux; resource.getrusage gives that of the process that started it, if it is higher.
    memory = int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1]) / 2**20
    score, number = scoring.ami(taxa["species"], found["species"]), found["species"].nunique()
    print(json.dumps({"seconds": seconds, "gigabytes": memory, "species_ami": score, "clusters": number}))


def measured(drawn, clusterers, collection):
    """A row for each of the clusterers on an embedding with its taxa, `drawn`."""
    points, taxa = drawn
    about = {"collection": collection, "photographs": len(points), "families": taxa["family"].nunique()}
    about["species"] = taxa["species"].nunique()
    with tempfile.TemporaryDirectory() as folder:
        np.save(Path(folder) / "points.npy", points.astype(np.float32))
        taxa.to_parquet(Path(folder) / "taxa.parquet")
        del points, taxa, drawn
        for clusterer in clusterers:
            command = [sys.executable, __file__, "--run", clusterer, folder]
            answer = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
            row = about | {"clusterer": clusterer} | json.loads(answer.splitlines()[-1])
            print(row, flush=True)
            yield row


def main(dataset):
    rows = list(measured(challenge(), ("pooled_average", "nested_kmeans_30"), "challenge"))
    left = list(CLUSTERERS)
    for n in SIZES:
        done = list(measured(collection(n), left, "growing"))
        left = [row["clusterer"] for row in done if row["seconds"] < LONGEST]
        rows += done
    table = pd.DataFrame(rows)
    utils.write_table(table.round(3), utils.dataset_dir(dataset) / "bench" / "clustering.csv")


if __name__ == "__main__":
    if sys.argv[1] == "--run":
        run(sys.argv[2], Path(sys.argv[3]))
    else:
        main(sys.argv[1])
