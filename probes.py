"""What a straight line through an embedding can tell: the true traits of a specimen, and its species once some names are known.

Both are references. They need names or true traits, so no clusterer may use them.
"""

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import GroupKFold
from sklearn.preprocessing import normalize

STRENGTHS = np.logspace(-4, 2, 7)  # of the ridge penalty; leave-one-out chooses among them


def side_by_side(layers):
    """Layers {name: (n, d)}, each scaled to length 1, in one array (n, sum of d)."""
    return np.hstack([normalize(values) for values in layers.values()])


def halves(species, individuals, seed=0):
    """Which half (0 or 1) of its species a photograph is in, -1 where its species has one individual or no name: array (n,).

    All photographs of one individual are in the same half, so that no half knows an individual of the other.
    """
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"species": np.asarray(species, object), "individual": np.asarray(individuals, object)})
    half = np.full(len(table), -1)
    for rows in table.groupby("species", sort=True).indices.values():
        here = table["individual"].iloc[rows]
        known = rng.permutation(np.sort(here.unique()))
        if len(known) > 1:
            half[rows] = here.isin(known[: len(known) // 2])
    return half


def told_half(points, species, families, half):
    """Species (n,) that a linear classifier names, told the species of the other half; none where `half` (n,) is -1.

    Like a clusterer it is told the family of a photograph, and names only species of it. All species weigh the same.
    """
    species, families = np.asarray(species, object), np.asarray(families, object)
    named, eligible = np.full(len(species), None, object), half >= 0
    family_of = dict(zip(species[eligible], families[eligible], strict=True))
    for side in (0, 1):
        told, asked = np.flatnonzero(half == side), np.flatnonzero(half == 1 - side)
        if len(set(species[told])) < 2:  # one species, or none: nothing to choose from
            named[asked] = species[told][:1].repeat(len(asked)) if len(told) else None
            continue
        model = RidgeClassifierCV(STRENGTHS, class_weight="balanced").fit(points[told], species[told])
        scores = model.decision_function(points[asked])
        if scores.ndim == 1:  # two species: one line between them
            scores = np.stack([-scores, scores], 1)
        possible = np.array([family_of[name] for name in model.classes_])[None] == families[asked][:, None]
        named[asked] = model.classes_[np.where(possible, scores, -np.inf).argmax(1)]
    return named


def read_traits(points, traits, species, n_folds=5):
    """What a linear model reads of the columns of `traits` (n rows), numbers or words: DataFrame. Every species is read unseen.

    The model learns from the other species, so it cannot recognise a species and remember its traits. A word is the one whose
    indicator is largest (one column per word, as in ridge classification).
    """
    numbers = traits.select_dtypes("number")
    words = traits.drop(columns=numbers.columns).astype(object)
    read = pd.DataFrame(index=traits.index, columns=traits.columns, dtype=object)
    for learn, test in GroupKFold(n_folds).split(points, groups=species):
        indicators = {name: pd.get_dummies(words[name].iloc[learn]) for name in words}
        targets = np.hstack([numbers.iloc[learn], *indicators.values()]).astype(float)
        predicted = RidgeCV(STRENGTHS, alpha_per_target=True).fit(points[learn], targets).predict(points[test])
        predicted = predicted.reshape(len(test), -1)
        read.iloc[test, read.columns.get_indexer(numbers.columns)] = predicted[:, : numbers.shape[1]]
        at = numbers.shape[1]
        for name, columns in indicators.items():
            best = predicted[:, at : at + columns.shape[1]].argmax(1)
            read.iloc[test, read.columns.get_loc(name)] = columns.columns.to_numpy()[best]
            at += columns.shape[1]
    return read.astype(dict.fromkeys(numbers, float))


def agreement(values, read):
    """How well a trait was read, 1 at best and 0 for a guess: R squared of numbers, Cohen's kappa of words."""
    if np.issubdtype(np.asarray(values).dtype, np.number):
        spread = np.square(values - np.mean(values)).sum()
        return float(1 - np.square(values - read).sum() / spread) if spread else np.nan
    return float(cohen_kappa_score(list(values), list(read))) if len(set(values)) > 1 else np.nan
