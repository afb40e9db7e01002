"""How far to trust a cluster: the probability that a photograph belongs to the main species of its cluster.

No taxon name is read. Features of every photograph (`features`) are combined by a logistic regression whose coefficients are in
params/trust/; they were fitted on one dataset and are checked on others (chapter 16).
"""

import numpy as np
import pandas as pd
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

import clustering
import encoder_configs
import scoring
import utils

ONE_ENCODER = ("stability", "margin")  # the features that are combined
SEVERAL_ENCODERS = ("margin", "agreement")  # agreement over encoders says more than stability, and they are correlated


def jaccard(one, other):
    """Jaccard index of the clusters of every row in two partitions, labels (n,): rows in both over rows in either."""
    pairs = pd.DataFrame({"one": one, "other": other})
    both = pairs.groupby(["one", "other"])["one"].transform("size")
    either = pairs.groupby("one")["one"].transform("size") + pairs.groupby("other")["other"].transform("size") - both
    return (both / either).to_numpy()


def features(points, genus_points, families, labels, clusterer, others=(), rounds=10, share=0.8, seed=0):
    """What speaks for every photograph being in the right cluster: DataFrame (n rows), a column for each.

    `points` (n, d) and `genus_points` are what `Clusterer.prepare_both` gives, `families` (n,) the given names, and `labels`
    (n,) the species clusters that `clusterer` found.

    - stability: Jaccard index of its cluster with that of the same method on `rounds` random samples of this `share` of the
      photographs, mean over the samples that it is in (Hennig 2007, Computational Statistics & Data Analysis 52:258-271, for
      clusters); not computed if there are no rounds
    - margin: its silhouette; 0 for a photograph alone in its cluster
    - agreement: Jaccard index of its cluster with those of `others`, labels (n,) from other encoders; only if there are any
    """
    n, families = len(points), np.asarray(families, object)
    random, total, times = np.random.default_rng(seed), np.zeros(n), np.zeros(n)
    for _ in range(rounds):
        rows = np.sort(random.permutation(n)[: int(np.ceil(share * n))])
        again = clustering.cluster_prepared(points[rows], genus_points[rows], families[rows], clusterer, seed)["species"]
        total[rows] += jaccard(labels[rows], again)
        times[rows] += 1
    margin = scoring.silhouette_values([labels], points, (0,), sample=n)[0, 0]
    found = pd.DataFrame({"margin": margin})
    if rounds:
        found["stability"] = np.divide(total, times, out=np.full(n, 0.5), where=times > 0)
    if others:
        found["agreement"] = np.mean([jaccard(labels, other) for other in others], axis=0)
    return found


def independent_clusters(dataset, run, encoders, seed, ids):
    """{encoder: species clusters (n,) of the photographs `ids`} of those `encoders` that may agree with `run`.

    They were trained from other weights than the encoder of `run` ("encoder/clusterer"), have no special role, and stand for
    one origin each, the first for it.
    """
    encoder, clusterer = run.split("/")
    lineage = encoder_configs.encoder_lineage(dataset, encoder)
    independent = {}
    for other in encoders:
        origin = encoder_configs.encoder_lineage(dataset, other)
        if origin.isdisjoint(lineage) and not encoder_configs.role(dataset, other) and len(origin) == 1:
            independent.setdefault(origin, other)
    tables = {name: utils.load_clusters(dataset, f"{name}/{clusterer}", seed, ids) for name in independent.values()}
    return {name: table["species_cluster"].to_numpy() for name, table in tables.items()}


def right(labels, species):
    """Whether the species of every row is the most common one in its cluster; of equals, the first.

    `labels` and `species` are (n,), none of them missing.
    """
    table = scoring.contingency(scoring.codes(species), scoring.codes(labels))
    return np.ravel(table.argmax(axis=0))[scoring.codes(labels)] == scoring.codes(species)


def fit(found, correct):
    """Coefficients of a logistic regression of `correct` (n,) on the features `found`: {feature: weight} and "intercept".

    ValueError if all photographs are right, or all wrong.
    """
    model = LogisticRegression(C=1e3).fit(found.to_numpy(), correct)
    weights = dict(zip(found, model.coef_[0].round(3).tolist(), strict=True))
    return weights | {"intercept": round(float(model.intercept_[0]), 3)}


def predict(found, coefficients):
    """Trust (n,), between 0 and 1, of photographs with the features `found`, by the coefficients of `fit`."""
    weights = {name: weight for name, weight in coefficients.items() if name != "intercept"}
    return expit(coefficients["intercept"] + sum(weight * found[name].to_numpy() for name, weight in weights.items()))


def reliability(trust, correct, n_bins=10):
    """Bins of equal numbers of photographs by trust: DataFrame with the mean trust, the share that is right, and the number."""
    order = np.argsort(trust, kind="stable")
    parts = [part for part in np.array_split(order, n_bins) if len(part)]
    return pd.DataFrame([{"trust": trust[p].mean(), "right": correct[p].mean(), "photographs": len(p)} for p in parts])


def coverage(trust, correct):
    """Share of right photographs among the most trusted, by the share of all photographs that these are: (n,), (n,)."""
    order = np.argsort(-trust, kind="stable")
    counts = np.arange(1, len(order) + 1)
    return counts / len(order), correct[order].cumsum() / counts
