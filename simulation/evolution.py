"""Simulated evolution: phylogeny, taxonomy, traits and DNA barcodes.

Time is measured backwards from today (0), in units of the age of the root (1). Nodes are numbered as in a SciPy linkage: the
tips 0 to n - 1 in the order of the tree, then the n - 1 internal nodes from young to old, the root last. All random numbers
come from a seed, so the same seed gives the same bytes.
"""

import random
from itertools import product

import dendropy
import msprime
import numpy as np
import pandas as pd
import tskit
from dendropy.model.birthdeath import birth_death_tree as dendropy_birth_death_tree
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from utils import RANKS

# -------------------------------------------------------------------------------------------- phylogeny and taxonomy

ONSETS = ("br", "cl", "cr", "d", "dr", "f", "gl", "h", "l", "m", "n", "p", "ph", "pl", "r", "s", "t", "tr", "v")
VOWELS = ("a", "ae", "e", "i", "o", "u", "y")
MIDDLES = ("lb", "lm", "lth", "mn", "ndr", "nth", "rdr", "rph", "rth", "thr")
GENUS_ENDINGS = ("a", "ella", "ia", "illa", "ina", "ora")  # all feminine, as are the epithets
EPITHET_ENDINGS = ("ana", "ata", "ea", "ensis", "ica", "ifera", "osa", "ula")


def birth_death_tree(n_species, seed, birth=1.0, death=0.3, stasis=0.06):
    """Grow a rooted, binary, ultrametric dendropy.Tree of height 1 with tips t0, t1, ... in the order of the tree.

    Lineages split at the rate `birth` and become extinct at the rate `death` until there are `n_species`. Extinct lineages are
    pruned (Nee, May and Harvey 1994, Phil. Trans. R. Soc. B 344:305-311). Growth ends at the moment of the last split, so the
    last two species would be identical. Therefore every split is at least `stasis` old (a fraction of the final height): two
    lineages become two species after this time, the simplest case of protracted speciation (Etienne and Rosindell 2012, Syst.
    Biol. 61:204-213). ValueError if `n_species` is below 3 (of two species, both have just split) or `stasis` is not in [0, 1).
    """
    if n_species < 3 or not 0 <= stasis < 1:
        raise ValueError(f"{n_species} species with stasis {stasis}: at least 3, and from 0 to below 1")
    tree = dendropy_birth_death_tree(birth, death, num_extant_tips=n_species, rng=random.Random(seed))
    # raises an error unless all tips have the same distance from the root: an extinct tip would end earlier
    height = max(tree.calc_node_ages(ultrametricity_precision=1e-9))
    for number, tip in enumerate(tree.leaf_node_iter()):
        tip.edge.length += height * stasis / (1 - stasis)
        tip.taxon.label = f"t{number}"
    tree.scale_edges((1 - stasis) / height)
    tree.seed_node.edge.length = None  # the time before the first split is not part of the tree
    return tree


def ladder_of_clades(sizes, seed, crown=0.8, last_split=0.84):
    """Grow a dendropy.Tree of height 1 whose oldest splits are given: clades of `sizes` {name: species} branch off in order.

    The first clade is the sister group of all others, the second that of the rest, and so on. The splits are evenly spaced
    between the ages 1 and `last_split`. The species of each clade descend from an ancestor of the age `crown` by a birth-death
    process (see `birth_death_tree`). Tips are t0, t1, ... in the order of the tree. ValueError if a clade has fewer than 3
    species.
    """
    if len(sizes) == 1:
        return birth_death_tree(*sizes.values(), seed)
    taxa = dendropy.TaxonNamespace([f"t{n}" for n in range(sum(sizes.values()))])
    tree = dendropy.Tree(taxon_namespace=taxa)
    ages, node, tips = np.linspace(1, last_split, len(sizes) - 1), tree.seed_node, iter(taxa)
    for place, size in enumerate(sizes.values()):
        clade = birth_death_tree(size, seed + place, stasis=0.06 / crown)
        clade.scale_edges(crown)
        for tip in clade.leaf_node_iter():
            tip.taxon = next(tips)
        age = ages[min(place, len(ages) - 1)]
        node.add_child(clade.seed_node)
        clade.seed_node.edge.length = age - crown
        if place < len(ages) - 1:
            node = node.new_child(edge_length=age - ages[place + 1])
    return tree


def patristic_distances(tree):
    """Path lengths between all tips (n, n), in root ages, and the labels of the tips in the order of the tree."""
    tips = list(tree.leaf_node_iter())
    paths, depths, end = np.zeros((len(tips), len(tips))), {}, 0
    for node in tree.postorder_node_iter():  # the tips below a node stand in one piece, which ends before `end`
        below = [(depths.pop(child), child.edge.length) for child in node.child_node_iter()]
        end += node.is_leaf()
        depths[node] = np.concatenate([depth + length for depth, length in below] or [np.zeros(1)])
        first = stop = end - len(depths[node])
        for depth, length in below:
            start, stop = stop, stop + len(depth)
            paths[first:start, start:stop] = depths[node][: start - first, None] + depth + length
    return paths + paths.T, [tip.taxon.label for tip in tips]


def node_linkage(tree):
    """An ultrametric dendropy.Tree as a SciPy linkage (n - 1, 4): average linkage of its distances restores the tree."""
    return linkage(squareform(patristic_distances(tree)[0], checks=False), "average")


def classify(tree, n_families, n_genera, seed):
    """Name families, genera and species: DataFrame of the tips in the order of the tree. Tips get the species' names as labels.

    Families and genera are the clades below two cuts through the tree. So every taxon is monophyletic, and species are nested
    in genera and families. The names are invented and unique; no name stands for a real taxon. A family is named after its
    first genus. ValueError unless families <= genera <= species.
    """
    nodes = node_linkage(tree)
    nodes[:, 2] = np.arange(len(nodes))  # in the order of their ages, without ties: a cut gives exactly as many clades
    if not 1 <= n_families <= n_genera <= len(nodes) + 1:
        raise ValueError(f"{n_families} families, {n_genera} genera, {len(nodes) + 1} species: must not decrease")
    rng = random.Random(seed)
    genera = np.array(_words(n_genera, GENUS_ENDINGS, rng))[fcluster(nodes, n_genera, "maxclust") - 1]
    table = pd.DataFrame({"genus": [genus.capitalize() for genus in genera]})
    first = table["genus"].groupby(fcluster(nodes, n_families, "maxclust")).transform("first")
    table["family"] = first.str.replace("a$", "idae", regex=True)
    table["species"] = table["genus"] + " " + _words(len(table), EPITHET_ENDINGS, rng)
    for tip, name in zip(tree.leaf_node_iter(), table["species"], strict=True):
        tip.taxon.label = name
    return table[list(RANKS)]


def _words(count, endings, rng):
    """`count` different words that look Latin: two syllables and an ending."""
    words = {}  # a dict keeps the order in which they were drawn
    while len(words) < count:
        words["".join(map(rng.choice, (ONSETS, VOWELS, MIDDLES, endings)))] = None
    return list(words)


# ------------------------------------------------------------------------------------------------------------ traits


def node_heights(nodes, lam=1.0):
    """Ages (2n - 1,) of the tips and internal nodes of a linkage, in root ages, under Pagel's lambda.

    Lambda moves the internal nodes towards the root: the shared history of the tips is multiplied by `lam`, from 1 (the tree
    unchanged) to 0 (a star: all species independent). Pagel (1999), Nature 401:877-884. ValueError unless 0 <= `lam` <= 1.
    """
    if not 0 <= lam <= 1:
        raise ValueError(f"lambda is {lam}, not between 0 and 1")
    internal = nodes[:, 2] / 2
    return np.concatenate([np.zeros(len(nodes) + 1), internal[-1] - lam * (internal[-1] - internal)])


def node_parents(nodes):
    """Parents (2n - 2,) of all nodes of a linkage except the root, which is the last node."""
    parents = np.empty(2 * len(nodes), int)
    parents[nodes[:, :2].astype(int)] = np.arange(len(nodes) + 1, 2 * len(nodes) + 1)[:, None]
    return parents


def brownian_traits(nodes, names, lam, seed):
    """Continuous traits under Brownian motion: DataFrame of all nodes of a linkage, one column per name.

    Every trait starts at 0 at the root. Along every branch it changes by a normal deviate whose variance is the length of the
    branch (Felsenstein 1985, Am. Nat. 125:1-15). So the covariance of two species is their shared history times Pagel's lambda,
    and the variance of a species is 1. ValueError unless 0 <= `lam` <= 1.
    """
    heights, parents = node_heights(nodes, lam), node_parents(nodes)
    steps = np.random.default_rng(seed).standard_normal((len(parents), len(names)))
    steps *= np.sqrt(heights[parents] - heights[:-1])[:, None]
    values = np.zeros((len(heights), len(names)))
    for node in reversed(range(len(parents))):  # parents have higher numbers than their children
        values[node] = values[parents[node]] + steps[node]
    return pd.DataFrame(values, columns=list(names))


def markov_traits(nodes, characters, lam, seed):
    """Discrete characters under the Mk model: DataFrame of all nodes of a linkage, one column per character.

    `characters` is {name: (states, rate, until)}. All states are equally likely at the root. A lineage changes to another state
    `rate` times per root age on average (Lewis 2001, Syst. Biol. 50:913-925), on the tree transformed by Pagel's lambda. At
    ages below `until` a character does not change. ValueError unless 0 <= `lam` <= 1.
    """
    history = _tree_sequence(node_heights(nodes, lam), node_parents(nodes))
    rng = np.random.default_rng(seed)
    columns = {}
    for name, (states, rate, until) in characters.items():
        even = np.full(len(states), 1 / len(states))
        change = (1 - np.eye(len(states))) / (len(states) - 1)
        columns[name] = _mutate(history, states, even, change, [rate], rng, until)[0]
    return pd.DataFrame(columns)


def _tree_sequence(heights, parents):
    """One tree as a tskit.TreeSequence of length 1; all nodes are samples, so the states of internal nodes are known, too."""
    # tskit needs parents that are older than their children; if lambda is 0 they are not, so a billionth is added to each
    heights = heights + 1e-9 * np.arange(len(heights))
    tables = tskit.TableCollection(sequence_length=1)
    tables.nodes.set_columns(flags=np.full(len(heights), tskit.NODE_IS_SAMPLE, np.uint32), time=heights)
    ends = np.zeros(len(parents)), np.ones(len(parents))
    tables.edges.set_columns(*ends, parents.astype(np.int32), np.arange(len(parents), dtype=np.int32))
    tables.sort()
    return tables.tree_sequence()


def _mutate(history, alleles, frequencies, change, rates, rng, until=0.0):
    """States (sites, samples) of a tskit.TreeSequence whose sites change at their `rates` per unit of time.

    `change` is the matrix of probabilities of the next state, `frequencies` the distribution at the root. Sites are added
    before mutations, because msprime does not record sites without a mutation.
    """
    tables = history.dump_tables()
    for site, state in enumerate(rng.choice(len(alleles), size=len(rates), p=frequencies)):
        tables.sites.add_row(site, alleles[state])
    mutated = msprime.sim_mutations(
        tables.tree_sequence(),
        rate=msprime.RateMap(position=np.arange(len(rates) + 1), rate=rates),
        model=msprime.MatrixMutationModel(list(alleles), frequencies, change),
        random_seed=int(rng.integers(1, 2**31)),
        start_time=until,  # msprime counts time backwards, so the end of change is its start
    )
    return np.array([variant.states() for variant in mutated.variants()])


# ---------------------------------------------------------------------------------------------------------- barcodes

BASES = "TCAG"  # the order of bases in the genetic codes of NCBI
CODONS = tuple(map("".join, product(BASES, repeat=3)))
# Invertebrate mitochondrial code (NCBI translation table 5): AGA and AGG are serine, ATA is methionine, TGA tryptophan
AMINO_ACIDS = dict(zip(CODONS, "FFLLSSSSYY**CCWWLLLLPPPPHHQQRRRRIIMMTTTTNNKKSSSSVVVVAAAADDEEGGGG", strict=True))
SENSE = tuple(codon for codon in CODONS if AMINO_ACIDS[codon] != "*")

# Chosen so that distances on the default tree are like those between barcodes of moths and beetles: 0.6 % within a species,
# 4 to 9 % between species of a genus, and 13 to 18 % between families, which saturation limits
BARCODE_LENGTH = 658  # base pairs between the primers of Folmer et al. (1994), Mol. Mar. Biol. Biotechnol. 3:294-299
N_CODONS = 220  # between the primers are the third base of the first codon and 219 whole codons
BASE_FREQUENCIES = {"T": 0.40, "C": 0.16, "A": 0.30, "G": 0.14}  # DNA of insects is rich in A and T
KAPPA = 4.0  # rate of transitions, relative to transversions
OMEGA = 0.04  # rate of changes of the amino acid, relative to silent changes: purifying selection
SHAPE = 2.0  # of the gamma distribution of rates over codons (Yang 1994, J. Mol. Evol. 39:306-314)
RATE = 0.2  # substitutions per base and root age: species of minimal age (0.06) differ by 2.4 % on average
COALESCENCE = 0.015  # mean age of the common ancestor of two members of a species, in root ages: they differ by 0.6 %


def codon_model():
    """Codon model of Goldman and Yang (1994), Mol. Biol. Evol. 11:725-736: frequencies (62,) and rates (62, 62).

    All pairs of amino acids are equally different, as in Nielsen and Yang (1998), Genetics 148:929-936. One base changes at a
    time, and never into a stop codon. The rate is the frequency of the new codon (the product of the frequencies of its bases),
    times KAPPA for a transition, times OMEGA if the amino acid changes. Rows sum to 0. A codon changes once per unit of time on
    average.
    """
    frequencies = np.array([np.prod([BASE_FREQUENCIES[base] for base in codon]) for codon in SENSE])
    frequencies /= frequencies.sum()
    rates = np.array([[_exchange(a, b) for b in SENSE] for a in SENSE]) * frequencies
    np.fill_diagonal(rates, -rates.sum(axis=1))
    return frequencies, rates / -(frequencies @ rates.diagonal())


def _exchange(old, new):
    """Rate of change between two codons, without the factor for the frequency of the new codon."""
    changes = [a + b for a, b in zip(old, new, strict=True) if a != b]
    if len(changes) != 1:
        return 0.0
    rate = KAPPA if changes[0] in ("AG", "GA", "CT", "TC") else 1.0
    return rate if AMINO_ACIDS[old] == AMINO_ACIDS[new] else rate * OMEGA


def barcodes(tree, counts, seed, rate=RATE, coalescence=COALESCENCE):
    """Barcodes like those of the mitochondrial COI gene: DataFrame of species and nucleotides, one row per specimen.

    `counts` gives the number of specimens of every tip in the order of the tree; rows have the same order. The gene is
    inherited from the mother without recombination. Its history follows the coalescent within the species tree (Rannala and
    Yang 2003, Genetics 164:1645-1656), so it may differ from the species tree. A barcode is the last base of a codon and 219
    whole codons without a stop codon. `rate` is in substitutions per base and root age, `coalescence` in root ages. ValueError
    unless there is one count per tip.
    """
    rng = np.random.default_rng(seed)
    names = [tip.taxon.label for tip in tree.leaf_node_iter()]
    history = _gene_tree(tree, dict(zip(names, counts, strict=True)), coalescence, int(rng.integers(1, 2**31)))
    frequencies, rates = codon_model()
    # msprime has one rate of change for all states; slower codons therefore have a probability of "changing" to themselves
    fastest = -rates.diagonal().min()
    pace = rng.gamma(SHAPE, size=N_CODONS)
    pace *= 3 * rate * fastest / pace.mean()
    codons = _mutate(history, SENSE, frequencies, np.eye(len(SENSE)) + rates / fastest, pace, rng)
    sequences = ["".join(column)[-BARCODE_LENGTH:] for column in codons.T]
    return pd.DataFrame({"species": np.repeat(names, counts), "nucleotides": sequences})


def _gene_tree(tree, counts, coalescence, seed):
    """Ancestry of a haploid locus without recombination, in a species tree with constant effective population size."""
    return msprime.sim_ancestry(
        {name.replace(" ", "_"): count for name, count in counts.items()},  # as in the Newick string
        # msprime measures time in generations, but only ratios matter: its unit is the age of the root here
        demography=msprime.Demography.from_species_tree(
            tree.as_string("newick", suppress_rooting=True), initial_size=coalescence
        ),
        ploidy=1,
        sequence_length=N_CODONS,
        random_seed=seed,
        record_provenance=False,  # it would hold the model of every species
    )
