"""A whole simulated world: species on their tree, individuals that vary within them, and the conditions of their photos."""

import hashlib
from dataclasses import asdict, dataclass

import dendropy
import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from tqdm import tqdm

from simulation import evolution, photographs
from simulation.organisms import CHARACTERS, COLOUR_TRAITS, SHAPE_TRAITS

TRAITS = (*SHAPE_TRAITS, *COLOUR_TRAITS, *CHARACTERS)
CHANGES = {"body_plan": 4.0, "pattern": 1.2, "margin": 0.8, "appendage": 0.8}  # of a character, per root age
MORPH_TRAITS = ("hue", "saturation", "lightness", "pattern_strength", "pattern_scale")
MORPH_DISTANCE = 0.8  # standard deviation of the difference between two morphs, in each of those traits


@dataclass
class World:
    """A simulated branch of life. Tables of species have n rows in the order of the tree's tips."""

    tree: dendropy.Tree  # its tips are the species
    nodes: np.ndarray  # the tree as a SciPy linkage (n - 1, 4)
    taxa: pd.DataFrame  # family, genus and species (n rows)
    history: pd.DataFrame  # traits of all nodes (2n - 1): the species as they evolved, then their ancestors
    species: pd.DataFrame  # traits of the species (n) after mimicry, the name of what each mimics, and how many morphs
    specimens: pd.DataFrame  # one row per photograph: hash_id, taxa, barcode, morph, trait_<name>, scene_<name>


def simulate(
    n_families=10,
    n_genera=40,
    n_species=120,
    n_specimens=15,
    pagel_lambda=1.0,
    within_species=0.25,
    dimorphic=0.3,
    mimicry=0.1,
    clutter=1.0,
    seed=0,
):
    """Simulate a World; the same arguments give the same world.

    `pagel_lambda` is the share of common history that the traits remember (0 to 1), `within_species` the standard
    deviation of individuals in units of that between unrelated species, `dimorphic` the share of species with two morphs,
    `mimicry` the share whose colours copy another family's, `clutter` the disorder around the specimens (see
    photographs.draw_scene), and `n_specimens` the number per species. ValueError where a value makes no world.
    """
    for name, share in (("dimorphic", dimorphic), ("mimicry", mimicry)):
        if not 0 <= share <= 1:
            raise ValueError(f"{name} is {share}, not between 0 and 1")
    tree = evolution.birth_death_tree(n_species, seed)
    taxa = evolution.classify(tree, n_families, n_genera, seed)
    nodes = evolution.node_linkage(tree)
    history = _history(nodes, n_families, pagel_lambda, seed)
    rng = np.random.default_rng([seed, 1])
    species = _morphs(_mimics(history[:n_species], taxa, mimicry, rng), dimorphic, rng)
    specimens = _individuals(species, taxa, n_specimens, within_species, rng)
    specimens.insert(4, "barcode", evolution.barcodes(tree, [n_specimens] * n_species, seed)["nucleotides"])
    scenes = pd.DataFrame([asdict(photographs.draw_scene(rng, clutter)) for _ in range(len(specimens))])
    named = [hashlib.sha256(f"{seed} {i}".encode()).hexdigest()[:12] for i in range(len(specimens))]
    specimens.insert(0, "hash_id", named)
    return World(tree, nodes, taxa, history, species, pd.concat([specimens, scenes.add_prefix("scene_")], axis=1))


def _history(nodes, n_families, lam, seed):
    """Traits of all nodes: continuous ones by Brownian motion, characters by an Mk model."""
    ages = np.sort(evolution.node_heights(nodes))[::-1]
    # a body plan is as old as its family: nothing younger than the cut that makes families changes it
    frozen = {"body_plan": ages[n_families - 1]}
    characters = {name: (states, CHANGES[name], frozen.get(name, 0)) for name, states in CHARACTERS.items()}
    measured = evolution.brownian_traits(nodes, (*SHAPE_TRAITS, *COLOUR_TRAITS), lam, seed)
    return pd.concat([measured, evolution.markov_traits(nodes, characters, lam, seed)], axis=1)


def _mimics(species, taxa, share, rng):
    """Let a share of the species look like a model of another family, of their own body plan if there is one."""
    species = species.assign(mimics=pd.Series(pd.NA, species.index, dtype="string"))
    original = species.copy()
    coloured = [*COLOUR_TRAITS, "pattern"]
    for mimic in np.sort(rng.choice(len(species), round(share * len(species)), replace=False)):
        foreign = taxa["family"] != taxa["family"][mimic]
        alike = foreign & (original["body_plan"] == original["body_plan"][mimic])
        candidates = np.flatnonzero(alike if alike.any() else foreign)
        if len(candidates):
            model = rng.choice(candidates)
            species.loc[mimic, coloured] = original.loc[model, coloured]
            species.loc[mimic, "mimics"] = taxa["species"][model]
    return species


def _morphs(species, share, rng):
    """Give a share of the species a second morph: columns morph_<trait>, what it adds to a trait (0 where there is none)."""
    steps = rng.normal(0, MORPH_DISTANCE, (len(species), len(MORPH_TRAITS)))
    steps[rng.permutation(len(species)) >= round(share * len(species))] = 0
    return species.join(pd.DataFrame(steps, species.index, [f"morph_{name}" for name in MORPH_TRAITS]))


def _individuals(species, taxa, n_specimens, within, rng):
    """Specimens of every species: taxa, morph (0 or 1), the species mimicked, and their own traits as trait_<name>."""
    rows = np.repeat(np.arange(len(species)), n_specimens)
    own = species.loc[rows].reset_index(drop=True)
    morph = rng.integers(0, 2, len(rows)) * own.filter(like="morph_").any(axis=1).astype(int)
    measured = [*SHAPE_TRAITS, *COLOUR_TRAITS]
    own[measured] += rng.normal(0, within, (len(rows), len(measured)))
    for name in MORPH_TRAITS:
        own[name] += morph * own[f"morph_{name}"]
    about = taxa.loc[rows].reset_index(drop=True).assign(morph=morph, mimics=own["mimics"])
    return pd.concat([about, own[list(TRAITS)].add_prefix("trait_")], axis=1)


def picture(row, size=256):
    """The photograph (PIL, RGB, `size` pixels square) of one row of World.specimens, as a dict."""
    traits = {name: row[f"trait_{name}"] for name in TRAITS}
    scene = photographs.Scene(**{k.removeprefix("scene_"): v for k, v in row.items() if k.startswith("scene_")})
    return photographs.photograph(traits, scene, size)


def photograph_all(specimens, paths, size=256):
    """Write the photograph of every row of World.specimens as a JPEG to its path, on all processors."""
    for folder in {path.parent for path in paths}:
        folder.mkdir(parents=True, exist_ok=True)
    jobs = Parallel(n_jobs=-1, return_as="generator")(
        delayed(_photograph)(row, path, size) for row, path in zip(specimens.to_dict("records"), paths, strict=True)
    )
    for _ in tqdm(jobs, total=len(paths), desc="photographs", unit="image"):
        pass


def _photograph(row, path, size):
    picture(row, size).save(path, quality=row["scene_quality"])
