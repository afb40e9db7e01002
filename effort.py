"""What clusters save an expert: how many photographs carry the right name after so many decisions.

An expert who knows the true species is simulated. One decision is one act of the expert: naming a photograph, naming a cluster,
or splitting one in two. All strategies return the share of photographs with the right name after 0, 1, 2, ... decisions.
"""

import heapq
import itertools

import numpy as np

import clustering
import scoring


def one_by_one(species):
    """Naming every photograph: shares (n + 1,)."""
    return np.linspace(0, 1, len(species) + 1)


def propagated(points, families, species, seed=0):
    """Naming photographs in random order; all others take the name of the nearest named one of their family: shares (n + 1,).

    `points` (n, d) are prepared vectors, `families` and `species` (n,) names.
    """
    points, species = np.asarray(points, np.float32), scoring.codes(species)
    families = scoring.codes(np.asarray(families, object).astype(str))
    nearest, name = np.full(len(points), np.inf, np.float32), np.full(len(points), -1)
    shares = [0.0]
    for row in np.random.default_rng(seed).permutation(len(points)):
        family = np.flatnonzero(families == families[row])
        away = ((points[family] - points[row]) ** 2).sum(axis=1)
        closer = family[away < nearest[family]]
        nearest[closer], name[closer] = away[away < nearest[family]], species[row]
        nearest[row], name[row] = -1, species[row]
        shares.append((name == species).mean())
    return np.array(shares)


def by_cluster(points, labels, species, trust, split_below=0.0):
    """Naming clusters, those with most photographs expected to be right first: shares (d + 1,) after d decisions.

    A cluster gets the name of its most common species. A cluster in which this species has a share below `split_below` is split
    in two instead, by average linkage of its `points`; both parts are looked at again. When all clusters have a name, the
    photographs are looked at one by one, the least trusted first; a photograph that carries the right name already costs a
    decision, too. `labels`, `species`, and `trust` are (n,).
    """
    species, labels = scoring.codes(species), scoring.codes(labels)
    correct, shares, ties = np.zeros(len(species), bool), [0.0], itertools.count()
    queue = []

    def ask(rows):
        heapq.heappush(queue, (-trust[rows].sum(), next(ties), rows))

    for label in np.unique(labels):
        ask(np.flatnonzero(labels == label))
    while queue:
        rows = heapq.heappop(queue)[2]
        counts = np.bincount(species[rows])
        halves = [rows]
        if counts.max() < split_below * len(rows):
            sides = clustering.LinkageTree(points[rows], method="average")(2)
            halves = [rows[sides == side] for side in np.unique(sides)]
        if len(halves) == 2:
            ask(halves[0])
            ask(halves[1])
        else:  # pure enough, or photographs that are all alike
            correct[rows] = species[rows] == counts.argmax()
        shares.append(correct.mean())
    wrong = ~correct[np.argsort(trust, kind="stable")]
    checked = wrong.cumsum()[: wrong.nonzero()[0][-1] + 1] if wrong.any() else []  # until the last wrong one is mended
    return np.concatenate([shares, (correct.sum() + np.asarray(checked)) / len(species)])


def decisions_until(shares, goal):
    """The number of decisions after which at least `goal` of the photographs carry the right name; missing if they never do."""
    return float(np.argmax(shares >= goal - 1e-12)) if shares[-1] >= goal - 1e-12 else np.nan
