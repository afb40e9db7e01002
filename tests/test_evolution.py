"""The simulated branch of life: its tree, names, traits and barcodes against theory."""

import dendropy
import numpy as np
import pandas as pd
import pytest
from scipy.cluster.hierarchy import fcluster, linkage, to_tree
from scipy.spatial.distance import pdist, squareform
from sklearn.metrics import adjusted_mutual_info_score

from simulation import evolution

SIGMAS = 4.5  # at fixed seeds: of the 400 comparisons below, a right simulation fails one in 300 seeds


def simulated(n_species=120, n_families=8, n_genera=40, seed=0):
    tree = evolution.birth_death_tree(n_species, seed)
    return tree, evolution.classify(tree, n_families, n_genera, seed)


# -------------------------------------------------------------------------------------------- phylogeny and taxonomy


@pytest.mark.parametrize("seed", range(5))
def test_trees_are_binary_and_ultrametric_and_no_species_is_younger_than_stasis(seed):
    tree = evolution.birth_death_tree(50, seed, stasis=0.2)
    heights = tree.calc_node_root_distances()
    np.testing.assert_allclose(heights, 1, atol=1e-12)
    assert [tip.taxon.label for tip in tree.leaf_node_iter()] == [f"t{n}" for n in range(50)]
    assert {len(node.child_nodes()) for node in tree.preorder_internal_node_iter()} == {2}
    youngest = min(tip.edge.length for tip in tree.leaf_node_iter())
    assert youngest == pytest.approx(0.2, abs=1e-12)  # growth ended with a split


def test_trees_depend_on_their_seed_and_on_nothing_else():
    one, same, other = (evolution.birth_death_tree(30, seed).as_string("newick") for seed in (1, 1, 2))
    assert one == same != other


def test_impossible_trees_and_taxonomies_are_refused():
    with pytest.raises(ValueError, match="at least 3"):
        evolution.birth_death_tree(2, 0)
    with pytest.raises(ValueError, match="below 1"):
        evolution.birth_death_tree(5, 0, stasis=1)
    with pytest.raises(ValueError, match="must not decrease"):
        evolution.classify(evolution.birth_death_tree(5, 0), 3, 6, 0)


def test_without_deaths_splits_are_as_old_as_in_a_yule_process():
    # k lineages wait 1 / k for the next split, so that sums of it from 2 lineages on tell how much of the height has
    # passed when there are 10 of 40: 0.56. It varies by 0.1 from tree to tree, 0.01 in the mean of 100; and a mean of
    # ratios is not quite the ratio of the means.
    heights = [
        evolution.node_linkage(evolution.birth_death_tree(40, s, death=0, stasis=0))[:, 2] / 2 for s in range(100)
    ]
    ten, forty = (sum(1 / k for k in range(2, end)) for end in (10, 40))
    assert np.mean([1 - h[-9] for h in heights]) == pytest.approx(ten / forty, abs=0.05)


def test_taxa_are_nested_monophyletic_and_have_names_of_their_own():
    tree, taxa = simulated()
    assert taxa.nunique().to_dict() == {"family": 8, "genus": 40, "species": 120}
    assert taxa["species"].tolist() == [tip.taxon.label for tip in tree.leaf_node_iter()]
    assert (taxa.groupby("genus")["family"].nunique() == 1).all()
    assert (taxa["species"].str.split().str[0] == taxa["genus"]).all() and taxa["family"].str.endswith("idae").all()
    for rank in ("family", "genus"):
        for _, species in taxa.groupby(rank)["species"]:
            clade = tree.mrca(taxon_labels=list(species))
            assert {tip.taxon.label for tip in clade.leaf_iter()} == set(species)
    pd.testing.assert_frame_equal(taxa, simulated()[1])


def test_newick_keeps_distances_and_names():
    tree, _ = simulated()
    again = dendropy.Tree.get(data=tree.as_string("newick"), schema="newick")
    (before, names), (after, names_again) = map(evolution.patristic_distances, (tree, again))
    assert names == names_again and all(" " in name for name in names)
    np.testing.assert_allclose(before, after, atol=1e-6)
    assert before.max() == pytest.approx(2) and (before == before.T).all() and (before.diagonal() == 0).all()


# ------------------------------------------------------------------------------------------------------------ traits


def clades(nodes):
    """The tips below every node of a linkage, as lists."""
    return [node.pre_order() for node in to_tree(nodes, rd=True)[1]]


def shared_history(tree, nodes):
    """Covariance of Brownian motion for all pairs of nodes: the path from the root to their last common ancestor."""
    depth = {node: node.distance_from_root() for node in tree}
    tips, below = [tip.taxon for tip in tree.leaf_node_iter()], clades(nodes)
    return np.array([[depth[tree.mrca(taxa=[tips[t] for t in {*a, *b}])] for b in below] for a in below])


@pytest.mark.parametrize("lam", [1.0, 0.6, 0.0])
def test_brownian_covariance_is_shared_history(lam):
    tree, n, draws = evolution.birth_death_tree(7, 3), 7, 20_000
    nodes = evolution.node_linkage(tree)
    expected = shared_history(tree, nodes) * lam
    expected[range(n), range(n)] = 1
    traits = evolution.brownian_traits(nodes, range(draws), lam, 0).to_numpy()
    assert traits.shape == (2 * n - 1, draws) and (traits[-1] == 0).all()
    variance = expected.diagonal()
    error = np.sqrt((np.outer(variance, variance) + expected**2) / draws)  # of a covariance of normal deviates
    assert (np.abs(traits @ traits.T / draws - expected) <= SIGMAS * error + 1e-12).all()


@pytest.mark.parametrize("lam", [-0.1, 1.1, np.nan])
def test_lambda_beyond_its_bounds_is_refused(lam):
    nodes = evolution.node_linkage(evolution.birth_death_tree(5, 0))
    with pytest.raises(ValueError, match="lambda"):
        evolution.brownian_traits(nodes, ["size"], lam, 0)
    with pytest.raises(ValueError, match="lambda"):
        evolution.markov_traits(nodes, {"shape": ("ab", 1, 0)}, lam, 0)


def test_traits_depend_on_their_seed_and_on_nothing_else():
    nodes = evolution.node_linkage(evolution.birth_death_tree(40, 0))
    for draw, what in ((evolution.brownian_traits, ["a", "b"]), (evolution.markov_traits, {"a": ("xyz", 2, 0)})):
        one, same, other = (draw(nodes, what, 0.9, seed) for seed in (1, 1, 2))
        pd.testing.assert_frame_equal(one, same)
        assert list(one) == list(what) and not one.equals(other)


def stay(k, rate, time):
    """Probability that an Mk character of `k` states is after some time what it was before."""
    return 1 / k + (k - 1) / k * np.exp(-k / (k - 1) * rate * time)


@pytest.mark.parametrize("lam", [1.0, 0.5, 0.0])
def test_markov_characters_change_as_often_as_theory_says(lam):
    nodes, k, rate, draws = evolution.node_linkage(evolution.birth_death_tree(6, 1)), 4, 0.6, 1000
    states = ["moth", "beetle", "fly", "wasp"]
    found = evolution.markov_traits(nodes, dict.fromkeys(range(draws), (states, rate, 0)), lam, 0).to_numpy()
    depth = 1 - nodes[:, 2] / 2
    first, second = nodes[0, :2].astype(int)  # the two youngest species

    def matches(a, b, time):
        expected = stay(k, rate, time)
        error = np.sqrt(expected * (1 - expected) / draws)
        assert abs((found[a] == found[b]).mean() - expected) <= SIGMAS * error + 1e-9

    for tip in range(6):
        matches(tip, -1, 1)
    for node, its_depth in enumerate(depth, start=6):
        matches(node, -1, lam * its_depth)
    matches(first, second, 2 * (1 - lam * depth[0]))
    error = np.sqrt(1 / k * (1 - 1 / k) / draws)
    assert all(abs((found[-1] == state).mean() - 1 / k) < SIGMAS * error for state in states)


def test_a_character_that_never_changes_has_a_state():
    nodes = evolution.node_linkage(evolution.birth_death_tree(6, 1))
    still = evolution.markov_traits(nodes, {n: (["left", "right"], 0, 0) for n in range(30)}, 1, 0)
    assert (still.nunique() == 1).all() and set(still.iloc[0]) == {"left", "right"}


def test_a_character_does_not_change_any_more_once_its_time_is_over():
    nodes = evolution.node_linkage(evolution.birth_death_tree(40, 1))
    heights, parents = evolution.node_heights(nodes), evolution.node_parents(nodes)
    until = 0.4
    found = evolution.markov_traits(nodes, dict.fromkeys(range(50), ("abcdef", 5, until)), 1, 0).to_numpy()
    settled = heights[parents] <= until
    assert (found[:-1][settled] == found[parents][settled]).all() and settled.sum() > 20
    assert (found[:-1][~settled] != found[parents][~settled]).mean() > 0.2


def mantel(a, b, permutations=199):
    """One-sided p-value of the correlation of two distance matrices (Mantel 1967, Cancer Research 27:209-220)."""
    random, upper = np.random.default_rng(0), np.triu_indices(len(a), 1)
    orders = [np.arange(len(a)), *(random.permutation(len(a)) for _ in range(permutations))]
    found = np.array([np.corrcoef(a[upper], b[np.ix_(order, order)][upper])[0, 1] for order in orders])
    return (found >= found[0]).mean()


@pytest.mark.parametrize("lam", [1, 0])
def test_related_species_look_alike_if_and_only_if_lambda_says_so(lam):
    tree = evolution.birth_death_tree(40, 0)
    distances, nodes = evolution.patristic_distances(tree)[0], evolution.node_linkage(tree)
    traits = [evolution.brownian_traits(nodes, "abcdefgh", lam, seed)[:40] for seed in range(30)]
    p = np.array([mantel(distances, squareform(pdist(table))) for table in traits])
    # of 30 tests of unrelated species, 1.5 should be significant by chance, and above 5 only one time in 300
    assert (p < 0.01).all() if lam else (p < 0.05).sum() <= 5 and p.mean() > 0.3


# ---------------------------------------------------------------------------------------------------------- barcodes


def letters(table):
    return np.array([list(sequence) for sequence in table["nucleotides"]])


def p_distances(table):
    """Shares of differing bases (n, n)."""
    bases = letters(table)
    return 1 - sum((bases == base).astype(np.float32) @ (bases == base).T for base in "ACGT") / bases.shape[1]


@pytest.fixture(scope="module")
def coi():
    """Taxa and barcodes of 5 specimens of each of 120 species."""
    tree, taxa = simulated()
    sequences = evolution.barcodes(tree, [5] * 120, 0)
    return taxa.loc[taxa.index.repeat(5)].reset_index(drop=True), sequences


def test_the_genetic_code_is_that_of_invertebrate_mitochondria():
    code = evolution.AMINO_ACIDS
    assert [codon for codon in code if code[codon] == "*"] == ["TAA", "TAG"]
    assert [code[codon] for codon in ("ATA", "AGA", "AGG", "TGA", "ATG", "GGG", "TTT", "CAT")] == list("MSSWMGFH")


def test_the_codon_model_is_reversible_and_changes_one_base_at_a_time():
    frequencies, rates = evolution.codon_model()
    flow = frequencies[:, None] * rates
    np.testing.assert_allclose(flow, flow.T, atol=1e-15)
    np.testing.assert_allclose(rates.sum(axis=1), 0, atol=1e-12)
    assert frequencies.sum() == pytest.approx(1) and np.trace(flow) == pytest.approx(-1)
    row = dict(zip(evolution.SENSE, rates[evolution.SENSE.index("TTA")], strict=True))  # leucine
    assert row["TTG"] / row["CTA"] == pytest.approx(0.40 * 0.14 / (0.16 * 0.30))  # both silent transitions
    assert row["TTG"] / row["TTT"] == pytest.approx(0.14 / 0.40 * evolution.KAPPA / evolution.OMEGA)  # phenylalanine
    assert row["CTG"] == 0


def test_barcodes_are_coding_sequences_of_the_right_length_and_base_composition(coi):
    taxa, sequences = coi
    assert sequences["species"].tolist() == taxa["species"].tolist()
    assert sequences["nucleotides"].str.fullmatch("[ACGT]{658}").all()
    codons = {sequence[i : i + 3] for sequence in sequences["nucleotides"] for i in range(1, 658, 3)}
    assert not codons & {"TAA", "TAG"} and len(codons) > 55
    # 220 codons drawn once at the root and 120 kindred species: a standard error of about 0.02
    frequencies, _ = evolution.codon_model()
    of_bases = {b: sum(f * c.count(b) / 3 for f, c in zip(frequencies, evolution.SENSE, strict=True)) for b in "ACGT"}
    for base, expected in of_bases.items():
        assert (letters(sequences) == base).mean() == pytest.approx(expected, abs=0.06)


def test_barcodes_depend_on_their_seed_and_on_nothing_else():
    tree, _ = simulated(20, 2, 5)
    one, same, other = (evolution.barcodes(tree, range(1, 21), seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(one, same)
    assert one["species"].value_counts(sort=False).tolist() == list(range(1, 21)) and not one.equals(other)
    with pytest.raises(ValueError, match="shorter"):
        evolution.barcodes(tree, [1] * 19, 0)


def test_differences_grow_with_the_rate_and_the_age_of_the_ancestor():
    # So slow that no base changes twice: two members of a species differ by 2 * rate * coalescence, and two species by
    # 2 * rate * (1 + coalescence). Tolerance: standard errors of the mean over independent histories.
    tree, rate, coalescence = dendropy.Tree.get(data="(one:1,other:1);", schema="newick"), 0.003, 0.5
    found = np.array([p_distances(evolution.barcodes(tree, [2, 2], n, rate, coalescence)) for n in range(150)])
    for pair, time in (((0, 1), 2 * coalescence), ((0, 2), 2 * (1 + coalescence))):
        differences = found[:, *pair]
        error = differences.std() / np.sqrt(len(found))
        assert differences.mean() == pytest.approx(rate * time, abs=SIGMAS * error) and error < 0.15 * rate * time


def test_there_is_a_barcode_gap_with_exceptions(coi):
    taxa, sequences = coi
    rows, columns = np.triu_indices(len(taxa), 1)
    distance = p_distances(sequences)[rows, columns]
    same = {rank: taxa[rank].to_numpy()[rows] == taxa[rank].to_numpy()[columns] for rank in taxa}
    within, congeneric = distance[same["species"]], distance[same["genus"] & ~same["species"]]
    assert 0.003 < within.mean() < 0.009 and 0.93 < (within < 0.02).mean() < 1
    assert 0.85 < (congeneric > 0.03).mean() < 1
    families = distance[~same["family"]]
    assert 0.13 < families.mean() < 0.2 and np.quantile(families, 0.99) < 0.22  # 2 * RATE is 0.4: saturated
    confamilial = distance[same["family"] & ~same["genus"]]
    assert within.mean() < congeneric.mean() < confamilial.mean() < families.mean()


def test_third_codon_positions_change_far_more_often_than_second_ones(coi):
    bases = letters(coi[1])[::5, 1:]  # one specimen per species, from the first whole codon
    first, second, third = ((bases[:, None, i::3] != bases[None, :, i::3]).mean() for i in range(3))
    assert third > 4 * second and third > 2 * first and first > second  # leucine has silent changes in the first


def test_clusters_of_barcodes_are_species(coi):
    taxa, sequences = coi
    tree = linkage(squareform(p_distances(sequences).astype(float), checks=False), "average")
    found = fcluster(tree, 0.02, "distance")
    assert adjusted_mutual_info_score(taxa["species"], found) > 0.95
