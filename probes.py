"""Linear models on an embedding: which true traits they predict, and how well they classify species from half of the names.

Both are references. They need names or true traits, so no clusterer may use them.
"""

import numpy as np
import pandas as pd
from sklearn.linear_model import RidgeClassifierCV, RidgeCV
from sklearn.metrics import cohen_kappa_score
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.neighbors import KNeighborsClassifier
from sklearn.preprocessing import normalize

STRENGTHS = np.logspace(-4, 2, 7)  # of the ridge penalty; leave-one-out chooses among them


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


def classify(points, species, families, half):
    """Species (n,) that a linear classifier predicts, trained on the other half; none where `half` (n,) is -1.

    Like a clusterer it knows the family of a photograph, and predicts only species of that family. All species weigh the same.
    """
    species, families = np.asarray(species, object), np.asarray(families, object)
    predicted, eligible = np.full(len(species), None, object), half >= 0
    known = set(zip(species[eligible], families[eligible], strict=True))  # of a species, some photographs may have no family
    each, family = np.unique(families, return_inverse=True)
    for side in (0, 1):
        train, test = np.flatnonzero(half == side), np.flatnonzero(half == 1 - side)
        if len(set(species[train])) < 2:  # one species, or none: nothing to choose from
            predicted[test] = species[train][:1].repeat(len(test)) if len(train) else None
            continue
        model = RidgeClassifierCV(STRENGTHS, class_weight="balanced").fit(points[train], species[train])
        scores = model.decision_function(points[test])
        if scores.ndim == 1:  # two species: one line between them
            scores = np.stack([-scores, scores], 1)
        possible = np.array([[(name, one) in known for name in model.classes_] for one in each])[family[test]]
        possible[~possible.any(1)] = True
        predicted[test] = model.classes_[np.where(possible, scores, -np.inf).argmax(1)]
    return predicted


def accuracies(points, species, n_folds=5):
    """Accuracy of two classifiers of species by cross-validation: {"knn": nearest neighbours, "linear_probe": linear model}.

    Species with at least `n_folds` photographs count; a photograph without a name does not. Empty if these are fewer than two.
    """
    species = pd.Series(np.asarray(species, object))
    enough = (species.map(species.value_counts()).fillna(0) >= n_folds).to_numpy(bool)
    points, species = points[enough], species[enough]
    if species.nunique() < 2:
        return {}
    points = normalize(points)
    classifiers = {"knn": KNeighborsClassifier(5), "linear_probe": RidgeClassifierCV(STRENGTHS)}
    return {name: cross_val_score(model, points, species, cv=n_folds).mean() for name, model in classifiers.items()}


def predict_traits(points, traits, species, n_folds=5):
    """What a linear model predicts for the columns of `traits` (n rows), numbers or words: DataFrame.

    The model is trained on other species, so it cannot recognise a species and remember its traits. A word is the one whose
    indicator is largest (one column per word, as in ridge classification).
    """
    numbers = traits.select_dtypes("number")
    words = traits.drop(columns=numbers.columns).astype(object)
    found = pd.DataFrame(index=traits.index, columns=traits.columns, dtype=object)
    for train, test in GroupKFold(n_folds).split(points, groups=species):
        indicators = {name: pd.get_dummies(words[name].iloc[train]) for name in words}
        targets = np.hstack([numbers.iloc[train], *indicators.values()]).astype(float)
        predicted = RidgeCV(STRENGTHS, alpha_per_target=True).fit(points[train], targets).predict(points[test])
        predicted = predicted.reshape(len(test), -1)
        found.iloc[test, found.columns.get_indexer(numbers.columns)] = predicted[:, : numbers.shape[1]]
        at = numbers.shape[1]
        for name, columns in indicators.items():
            best = predicted[:, at : at + columns.shape[1]].argmax(1)
            found.iloc[test, found.columns.get_loc(name)] = columns.columns.to_numpy()[best]
            at += columns.shape[1]
    return found.astype(dict.fromkeys(numbers, float))


def agreement(values, predicted):
    """How well a trait was predicted, 1 at best and 0 for a guess: R squared of numbers, Cohen's kappa of words."""
    if np.issubdtype(np.asarray(values).dtype, np.number):
        spread = np.square(values - np.mean(values)).sum()
        return float(1 - np.square(values - predicted).sum() / spread) if spread else np.nan
    return float(cohen_kappa_score(list(values), list(predicted))) if len(set(values)) > 1 else np.nan
