"""Trust in clusters, and what they save an expert."""

import numpy as np
import pytest

import clustering
import effort
import trust
from simulation.embeddings import EmbeddingConfig, draw_embedding

CONFIG = clustering.Clusterer.of()


@pytest.fixture(scope="module")
def drawn():
    """An embedding whose clusters are partly right: points, families, species, clusters."""
    points, taxa = draw_embedding(EmbeddingConfig(separation=0.5), seed=1)
    points = clustering.prepare(points)
    families = taxa["family"].to_numpy(object)
    labels = clustering.cluster_prepared(points, points, families, CONFIG)["species"].to_numpy()
    return points, families, taxa["species"].to_numpy(object), labels


def test_jaccard_of_a_partition_with_itself_is_one_and_counts_what_is_shared():
    assert trust.jaccard([1, 1, 2], ["a", "a", "b"]).tolist() == [1, 1, 1]
    assert trust.jaccard([1, 1, 1, 2], ["a", "a", "b", "b"]) == pytest.approx([2 / 3, 2 / 3, 1 / 4, 1 / 2])


def test_right_photographs_are_trusted_more(drawn):
    points, families, species, labels = drawn
    other = clustering.cluster_prepared(points[:, ::2], points[:, ::2], families, CONFIG)["species"].to_numpy()
    found = trust.features(points, points, families, labels, CONFIG, others=[other], rounds=4)
    correct = trust.right(labels, species)
    assert len(found) == len(points) and found.notna().all(axis=None)
    assert found["stability"].between(0, 1).all() and found["agreement"].between(0, 1).all()
    for columns in (trust.ONE_ENCODER, trust.SEVERAL_ENCODERS):
        values = trust.predict(found, trust.fit(found[list(columns)], correct))
        assert ((values > 0) & (values < 1)).all()
        assert values[correct].mean() > values[~correct].mean() + 0.1
        assert values.mean() == pytest.approx(correct.mean(), abs=0.01)  # a logistic regression has the right mean
    again = trust.features(points, points, families, labels, CONFIG, others=[other], rounds=4)
    assert again.equals(found)


def test_trust_of_a_photograph_that_is_alone_and_of_three():
    points = np.eye(3)
    found = trust.features(points, points, np.array(["x", "x", "y"], object), np.array([0, 0, 1]), CONFIG)
    assert found["margin"].iloc[2] == 0 and found.notna().all(axis=None)


def test_right_is_the_most_common_species_of_a_cluster():
    assert trust.right([0, 0, 0, 1], ["a", "a", "b", "b"]).tolist() == [True, True, False, True]


def test_coverage_begins_with_the_most_trusted():
    share, pure = trust.coverage(np.array([0.1, 0.9, 0.8, 0.2]), np.array([False, True, True, True]))
    assert share.tolist() == [0.25, 0.5, 0.75, 1] and pure == pytest.approx([1, 1, 1, 0.75])
    bins = trust.reliability(np.array([0.1, 0.9, 0.8, 0.2]), np.array([False, True, True, True]), n_bins=2)
    assert bins["right"].tolist() == [0.5, 1] and bins["photographs"].tolist() == [2, 2]


# --------------------------------------------------------------------------------------------------------- effort


def test_pure_clusters_take_one_decision_each_and_propagation_more(drawn):
    points, families, species, _ = drawn
    pure = effort.by_cluster(points, species, species, np.ones(len(species)))
    n_species = len(set(species))
    assert pure[0] == 0 and pure[n_species] == 1 and effort.decisions_until(pure, 1.0) == n_species
    assert (np.diff(pure) >= 0).all()
    spread = effort.propagated(points, families, species)
    assert spread[0] == 0 and spread[-1] == 1 and len(spread) == len(species) + 1
    assert n_species < effort.decisions_until(spread, 0.9) < effort.decisions_until(effort.one_by_one(species), 0.9)


@pytest.mark.parametrize("split_below", [0.0, 0.7, 1.0])
def test_every_strategy_ends_with_all_names_right(drawn, split_below):
    points, _, species, labels = drawn
    shares = effort.by_cluster(points, labels, species, np.linspace(0, 1, len(labels)), split_below)
    assert shares[-1] == pytest.approx(1) and shares.max() <= 1 + 1e-9
    if split_below == 1.0:  # clusters are split until they are pure, so nothing is left to correct
        assert effort.decisions_until(shares, 1.0) == len(shares) - 1


def test_photographs_that_are_all_alike_cannot_be_split():
    shares = effort.by_cluster(np.ones((4, 3)), np.zeros(4), ["a", "a", "b", "c"], np.full(4, 0.5), split_below=1.0)
    assert shares[1] == 0.5 and shares[-1] == 1


def test_a_goal_that_is_never_reached_is_missing():
    assert np.isnan(effort.decisions_until(np.array([0, 0.5]), 0.9))
