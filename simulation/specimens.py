"""A simulated world of insects: species on their tree, individuals that vary within species, and how they are photographed."""

import hashlib
from dataclasses import asdict, dataclass, fields

import dendropy
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from sampling import uneven_sizes
from simulation import evolution, insects, photographs

CHANGES = {"form": 12.0, "pattern": 4.0, "mark": 4.0, "margin": 1.5, "sculpture": 1.5}  # of a character, per root age
MEASURED = (*insects.SHAPE_TRAITS, *insects.COLOUR_TRAITS)
TRAITS = (*MEASURED, *insects.CHARACTERS)
COPIED = (*insects.COLOUR_TRAITS, "pattern", "mark")  # what mimics copy
MORPH_TRAITS = ("hue", "saturation", "lightness", "pattern_strength", "pattern_scale")
VARIABLE = ("hue", "second_hue", "saturation", "lightness")  # individuals of a species vary in them 1.5 times as much
STAGES = (
    "tree", "names", "measured", "characters", "barcodes", "mimics", "morphs", "individuals", "scenes",
    "counts", "sexes", "repeats", "habitats",
)  # fmt: skip
FAINT = 25  # opacity of 255 up to which a pixel does not count as insect; wings may be glassy
MORPH_DISTANCE = 0.8  # standard deviation of the difference between two morphs, in each of MORPH_TRAITS
SEXUAL_TRAITS = ("size", "wing_length", "antenna_length", "eyes")
SEXUAL_DISTANCE = 0.3  # standard deviation of the difference between males and females, in each of SEXUAL_TRAITS


@dataclass
class World:
    """A simulated world. Tables of species have n rows, in the order of the tips of the tree."""

    tree: dendropy.Tree  # its tips are the species
    nodes: np.ndarray  # the tree as a SciPy linkage (n - 1, 4)
    taxa: pd.DataFrame  # family, genus and species (n rows)
    history: pd.DataFrame  # traits of all nodes (2n - 1): the species as they evolved, then their ancestors
    species: pd.DataFrame  # traits of the species (n) after mimicry, the mimicked species, effects of a second morph
    specimens: pd.DataFrame  # one row per photograph: hash_id, taxa, barcode, morph, mimics, trait_<name>, scene_<name>


def simulate(
    n_families=18,
    n_genera=50,
    n_species=120,
    n_specimens=15,
    pagel_lambda=0.6,
    within_species=0.1,
    dimorphic=0.15,
    mimicry=0.1,
    clutter=1.0,
    seed=0,
    orders=(),
    imbalance=0.0,
    repeats=0.0,
    habitat=0.0,
):
    """Simulate a World; the same arguments give the same world.

    - `n_specimens` is the number of photographs per species, or of the commonest species.
    - `pagel_lambda` is the phylogenetic signal of the traits (0 to 1): the share of the common history that they keep.
    - `within_species` is the standard deviation of individuals, in units of that between unrelated species.
    - `dimorphic` is the share of species with two morphs.
    - `mimicry` is the share of species that copy the colours of a species of another family. Only species count for which
      another family looks the same in the same colours (butterflies mimic only butterflies).
    - `clutter` is the complexity of the background (see photographs.draw_scene).
    - `orders` are names of insects.ORDERS; if empty, all that the numbers of species and families allow, the largest first.
    - `imbalance` is the power with which photographs per species fall (see sampling.uneven_sizes); at 0 all have equally many.
    - `repeats` is the share of photographs that show an individual which was photographed before.
    - `habitat` is the share of photographs taken in the habitat of the species. The others, and at 0 all, are taken anywhere.

    Every stage has its own random numbers, so two worlds with one seed differ only in what was changed. (Their photographs also
    differ in the texture of background and grain, which are drawn after the organism.) ValueError if a value is out of range.
    """
    for name, value, most in (
        ("dimorphic", dimorphic, 1),
        ("mimicry", mimicry, 1),
        ("within_species", within_species, np.inf),
        ("clutter", clutter, np.inf),
        ("imbalance", imbalance, np.inf),
        ("repeats", repeats, 0.9),
        ("habitat", habitat, 1),
    ):
        if not 0 <= value <= most:
            raise ValueError(f"{name} is {value}, not between 0 and {most}")
    if n_specimens < 1:
        raise ValueError(f"n_specimens is {n_specimens}: at least 1")
    seeds = (int(part.generate_state(1)[0]) for part in np.random.SeedSequence(seed).spawn(len(STAGES)))
    seed_of = dict(zip(STAGES, seeds, strict=True))
    rng = {stage: np.random.default_rng(number) for stage, number in seed_of.items()}
    sizes = species_of_orders(orders, n_species, n_families)
    tree = evolution.ladder_of_clades(sizes, seed_of["tree"])
    taxa = evolution.classify(tree, n_families, n_genera, seed_of["names"])
    nodes = evolution.node_linkage(tree)
    history = _history(nodes, n_families, pagel_lambda, seed_of, sizes)
    species = _morphs(_mimics(history[:n_species], taxa, mimicry, rng["mimics"]), dimorphic, rng["morphs"])
    counts = uneven_sizes(pd.Series(n_specimens, taxa["species"]), imbalance, seed_of["counts"])
    first = _first_photographs(list(counts.values()), repeats, rng["repeats"])
    specimens = _individuals(species, taxa, counts, within_species, rng["individuals"])
    sequences = evolution.barcodes(tree, list(counts.values()), seed_of["barcodes"])
    specimens.insert(4, "barcode", sequences["nucleotides"])
    _sexes(specimens, species, rng["sexes"])
    states = {"habitat": (photographs.PLACES, 2.0, 0)}
    living = evolution.markov_traits(nodes, states, pagel_lambda, seed_of["habitats"])["habitat"][:n_species]
    specimens["habitat"] = living.set_axis(taxa["species"])[specimens["species"]].to_numpy()
    specimens["individual"] = [hashlib.sha256(f"{seed} individual {i}".encode()).hexdigest()[:12] for i in range(len(first))]
    specimens = specimens.loc[first].reset_index(drop=True)
    scenes = _scenes(specimens, first, clutter, habitat, rng)
    named = [hashlib.sha256(f"{seed} {i}".encode()).hexdigest()[:12] for i in range(len(specimens))]
    specimens.insert(0, "hash_id", named)
    return World(tree, nodes, taxa, history, species, pd.concat([specimens, scenes.add_prefix("scene_")], axis=1))


def species_of_orders(orders, n_species, n_families):
    """Number of species of every order {name: number}, in the order in which they branch off: large orders have more.

    Without `orders`, as many as get a family and three species each, the largest first. ValueError for an unknown order, and if
    there are too few species or families.
    """
    if unknown := [name for name in orders if name not in insects.ORDERS]:
        raise ValueError(f"orders: {unknown[0]} is not one of {', '.join(insects.ORDERS)}")
    largest = sorted(insects.SHARES, key=insects.SHARES.get, reverse=True)
    names = orders if len(orders) else largest[: max(1, min(n_families, n_species // 3))]
    shares = {name: share for name, share in insects.SHARES.items() if name in names}
    if n_species < 3 * len(shares) or n_families < len(shares):
        raise ValueError(f"{len(shares)} orders need {3 * len(shares)} species and {len(shares)} families, or more")
    total, sizes, left = sum(shares.values()), {}, n_species
    for place, (name, share) in enumerate(shares.items()):
        behind = len(shares) - place - 1
        sizes[name] = min(max(3, round(n_species * share / total)), left - 3 * behind) if behind else left
        left -= sizes[name]
    return sizes


def _history(nodes, n_families, lam, seed_of, sizes):
    """Traits of all nodes: continuous traits by Brownian motion, characters by the Mk model.

    `sizes` {order: species} are the orders from which the tree was grown. Ancestors of several orders have none.
    """
    ages = np.sort(evolution.node_heights(nodes))[::-1]
    # Forms do not change after the age at which the tree is cut into families. So the cut is not arbitrary: all species of a
    # family share a form, and only proportions and patterns still evolve. Pagel's lambda moves the age.
    cut = 1 - lam * (1 - ages[n_families - 1]) if lam else ages[n_families - 1]
    states = {name: insects.CHARACTERS[name] for name in CHANGES} | {"form": tuple("0123")}  # of its order
    rates = {name: (states[name], rate, cut if name == "form" else 0) for name, rate in CHANGES.items()}
    measured = evolution.brownian_traits(nodes, MEASURED, lam, seed_of["measured"])
    history = pd.concat([measured, evolution.markov_traits(nodes, rates, lam, seed_of["characters"])], axis=1)
    orders = np.repeat(list(sizes), list(sizes.values())).tolist()
    for left, right in nodes[:, :2].astype(int):
        orders.append(orders[left] if orders[left] == orders[right] else "")
    forms = [insects.ORDERS[order][int(form)] if order else "" for order, form in zip(orders, history["form"], strict=True)]
    history["form"] = forms
    history.insert(len(MEASURED), "order", orders)
    return history


def _mimics(species, taxa, share, rng):
    """Give a share of the species the colours of a model, which is a species of another family with the same palette.

    The same traits are other colours in another palette, so species without such a model stay unchanged.
    """
    family = taxa["family"].to_numpy()
    palette = species["form"].where(species["form"].isin(insects.PALETTES), species["order"]).to_numpy()
    models = [np.flatnonzero((family != family[i]) & (palette == palette[i])) for i in range(len(species))]
    able = np.array([i for i in rng.permutation(len(species)) if len(models[i])], int)
    luck = rng.random(len(species))  # drawn for all species, so a larger share contains the same mimics
    mimics = able[: round(share * len(able))]
    chosen = np.array([models[i][int(luck[i] * len(models[i]))] for i in mimics], int)
    copied = species.assign(mimics=pd.Series(pd.NA, species.index, dtype="string"))
    copied.loc[mimics, list(COPIED)] = species.loc[chosen, list(COPIED)].to_numpy()
    copied.loc[mimics, "mimics"] = taxa.loc[chosen, "species"].to_numpy()
    return copied


def _morphs(species, share, rng):
    """Give a share of the species a second morph: columns morph_<trait>, its effect on a trait (0 without a second morph)."""
    steps = rng.normal(0, MORPH_DISTANCE, (len(species), len(MORPH_TRAITS)))
    steps[rng.permutation(len(species)) >= round(share * len(species))] = 0
    return species.join(pd.DataFrame(steps, species.index, [f"morph_{name}" for name in MORPH_TRAITS]))


def _individuals(species, taxa, counts, within, rng):
    """Specimens of every species (DataFrame): taxa, morph (0 or 1), the mimicked species, and own traits as trait_<name>."""
    rows = np.repeat(np.arange(len(species)), list(counts.values()))
    own = species.loc[rows].reset_index(drop=True)
    morph = rng.integers(0, 2, len(rows)) * own.filter(like="morph_").any(axis=1).astype(int)
    spread = [1.5 if name in VARIABLE else 1 for name in MEASURED]
    own[list(MEASURED)] += rng.normal(0, within, (len(rows), len(MEASURED))) * spread
    for name in MORPH_TRAITS:
        own[name] += morph * own[f"morph_{name}"]
    about = taxa.loc[rows].reset_index(drop=True).assign(morph=morph, mimics=own["mimics"])
    return pd.concat([about, own[list(TRAITS)].add_prefix("trait_")], axis=1)


def _sexes(specimens, species, rng):
    """Add sex and wear of all specimens. Males differ from females in SEXUAL_TRAITS, in every species by steps of its own."""
    steps = rng.normal(0, SEXUAL_DISTANCE, (len(species), len(SEXUAL_TRAITS)))
    male = rng.random(len(specimens)) < 0.5
    row = specimens["species"].factorize()[0]  # specimens are in the order of the species
    for place, name in enumerate(SEXUAL_TRAITS):
        specimens[f"trait_{name}"] += np.where(male, 0.5, -0.5) * steps[row, place]
    specimens["sex"] = np.where(male, "male", "female")
    specimens["wear"] = rng.beta(1.0, 5.0, len(specimens))


def _first_photographs(counts, repeats, rng):
    """For every photograph the row (n,) of the first one of the same individual, which is its own row for most.

    Photographs of a species follow each other. With the probability `repeats` a photograph shows the individual of the one
    before.
    """
    again = rng.random(sum(counts)) < repeats
    again[np.cumsum([0, *counts[:-1]])] = False
    rows = np.arange(len(again))
    return np.maximum.accumulate(np.where(again, 0, rows))


def _scenes(specimens, first, clutter, habitat, rng):
    """Conditions of all photographs (DataFrame). Photographs of one individual are taken in the same place."""
    at_home = rng["habitats"].random(len(first)) < habitat
    places, scenes = [], []
    for row, (home, start) in enumerate(zip(at_home, first, strict=True)):
        place = specimens["habitat"][row] if home else None
        scenes.append(photographs.draw_scene(rng["scenes"], clutter, place if start == row else places[start]))
        places.append(scenes[-1].place)
    return pd.DataFrame(map(asdict, scenes))


def picture(row, size=224):
    """Photograph (PIL, RGB, `size` pixels square) of `row`, one row of World.specimens as a dict."""
    return photographs.photograph(*_taken(row), size)


def outline(row, size=224):
    """Where the insect is in its `picture`: white on black (PIL, grey). What lies in front of it is not left out."""
    alpha = photographs.drawn(*_taken(row), size).getchannel("A")
    return alpha.point(lambda opacity: 255 * (opacity > FAINT))


def _taken(row):
    """Traits and scene of a row of World.specimens."""
    traits = {name: row[f"trait_{name}"] for name in TRAITS} | {"sex": row["sex"], "wear": row["wear"]}
    traits["individual_seed"] = int(row["individual"], 16)
    return traits, photographs.Scene(**{f.name: row[f"scene_{f.name}"] for f in fields(photographs.Scene)})


def photograph_all(specimens, paths, size=224):
    """Write the photograph of every row of World.specimens as a JPEG to its path, in parallel on all cores."""
    for folder in {path.parent for path in paths}:
        folder.mkdir(parents=True, exist_ok=True)
    jobs = Parallel(n_jobs=-1, return_as="generator")(
        delayed(_photograph)(row, path, size) for row, path in zip(specimens.to_dict("records"), paths, strict=True)
    )
    for _ in tqdm(jobs, total=len(paths), desc="photographs", unit="image"):
        pass


def _photograph(row, path, size):
    picture(row, size).save(path, quality=row["scene_quality"])
