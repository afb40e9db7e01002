"""Probes on embeddings whose content is known."""

import numpy as np
import pandas as pd
import pytest

import probes


@pytest.fixture
def collection():
    """Points of 24 species in 6 families, 8 photographs each: (points, species, families, trait of the last column)."""
    rng = np.random.default_rng(0)
    number = np.repeat(np.arange(24), 8)
    trait = rng.normal(size=24)[number]
    points = np.hstack([rng.normal(size=(24, 12))[number] * 3, trait[:, None]]) + rng.normal(size=(192, 13)) * 0.1
    return points, number.astype(str).astype(object), (number // 4).astype(str).astype(object), trait


def test_halves_keep_individuals_together_and_leave_out_what_cannot_be_split():
    species = ["a"] * 4 + ["b"] * 2 + ["c"] + [None]
    individuals = ["1", "1", "2", "3", "4", "4", "5", "6"]
    half = probes.halves(species, individuals)
    assert half[0] == half[1] and set(half[:4]) == {0, 1}
    assert half[4:].tolist() == [-1] * 4  # one individual, one photograph, no name
    assert np.array_equal(half, probes.halves(species, individuals))


def test_species_that_lie_apart_are_classified_and_noise_is_guessed(collection):
    points, species, families, _ = collection
    half = probes.halves(species, np.arange(len(species)))
    assert (probes.classify(points, species, families, half) == species).all()
    noise = np.random.default_rng(1).normal(size=points.shape)
    guessed = probes.classify(noise, species, families, half)
    assert (guessed == species).mean() < 0.45  # four species in a family: 0.25
    family_of = dict(zip(species, families, strict=True))
    assert [family_of[name] for name in guessed] == list(families)  # never a species of another family


def test_a_species_is_recognised_where_its_family_is_not_known(collection):
    points, species, families, _ = collection
    families = np.where(np.arange(len(families)) % 5 == 0, "(unknown)", families)
    half = probes.halves(species, np.arange(len(species)))
    assert (probes.classify(points, species, families, half) == species).mean() > 0.98


@pytest.mark.parametrize("missing", [None, np.nan, pd.NA])
def test_accuracies_leave_out_rare_species_and_missing_names(collection, missing):
    points, species, _, _ = collection
    before = probes.accuracies(points, species)
    assert before == {"knn": 1.0, "linear_probe": 1.0}
    more = np.vstack([points, np.full((9, points.shape[1]), 5.0)])
    names = [*species, *["rare"] * 4, *[missing] * 5]
    assert probes.accuracies(more, names) == before
    assert probes.accuracies(more, pd.Series(names, dtype="string")) == before
    noise = np.random.default_rng(1).normal(size=points.shape)
    assert all(accuracy < 0.2 for accuracy in probes.accuracies(noise, species).values())
    assert probes.accuracies(points[:16], ["one"] * 12 + ["rare"] * 4) == {}
    assert probes.accuracies(points[:3], [missing] * 3) == {}


def test_no_photograph_is_classified_by_its_own_half(collection):
    points, species, families, _ = collection
    half = np.where(np.arange(len(species)) % 8 < 4, 0, 1)
    number = species.astype(int)
    next_in_family = (number // 4 * 4 + (number + 1) % 4).astype(str).astype(object)
    named = probes.classify(points, np.where(half == 0, species, next_in_family), families, half)
    assert (named[half == 1] == species[half == 1]).all()  # as the first half says, whatever the second half is called


@pytest.mark.parametrize("n", [0, 1])
def test_too_few_species_do_not_stop_a_probe(n):
    species = np.array(["a"] * 4 if n else [None] * 4, object)
    half = probes.halves(species, range(4))
    named = probes.classify(np.eye(4), species, np.array(["f"] * 4, object), half)
    assert named.tolist() == (["a"] * 4 if n else [None] * 4)


def test_traits_are_predicted_for_species_never_seen_and_not_from_noise(collection):
    points, species, _, trait = collection
    words = np.where(species.astype(int) % 2, "spots", "bands").astype(object)
    marked = np.hstack([points, 4.0 * (words == "spots")[:, None]])
    traits = pd.DataFrame({"pattern": words, "length": trait, "one": "same"})
    read = probes.predict_traits(marked, traits, species)
    assert probes.agreement(traits["length"], read["length"]) > 0.9 and probes.agreement(words, read["pattern"]) > 0.9
    assert (read["one"] == "same").all() and np.isnan(probes.agreement(traits["one"], read["one"]))
    without = probes.predict_traits(points[:, :12], traits, species)  # species can be separated, and their traits are not there
    assert probes.agreement(traits["length"], without["length"]) < 0.3
    assert probes.agreement(words, without["pattern"]) < 0.4
    assert probes.agreement(words, words) == 1
    assert probes.agreement(trait, np.full(len(trait), trait.mean())) == 0
