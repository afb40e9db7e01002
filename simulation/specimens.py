"""A simulated world: species on their tree, individuals that vary within species, and the conditions of their photographs."""

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
# Changes of a character per root age. Body plans change fast until families have separated, and not after that.
CHANGES = {"body_plan": 8.0, "pattern": 1.2, "margin": 0.8, "appendage": 0.8}
STAGES = ("tree", "names", "measured", "characters", "barcodes", "mimics", "morphs", "individuals", "scenes")
MORPH_TRAITS = ("hue", "saturation", "lightness", "pattern_strength", "pattern_scale")
MORPH_DISTANCE = 0.8  # standard deviation of the difference between two morphs, in each of MORPH_TRAITS


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

    - `n_specimens` is the number per species.
    - `pagel_lambda` is the phylogenetic signal of the traits (0 to 1): the share of the common history that they keep.
    - `within_species` is the standard deviation of individuals, in units of that between unrelated species.
    - `dimorphic` is the share of species with two morphs.
    - `mimicry` is the share of species that copy the colours of a species of another family. Only species count for which
      another family has the same body plan.
    - `clutter` is the complexity of the background (see photographs.draw_scene).

    Every stage has its own random numbers, so two worlds with one seed differ only in what was changed. (Their photographs also
    differ in the texture of background and grain, which are drawn after the organism.) ValueError if a value is out of range.
    """
    for name, value, most in (
        ("dimorphic", dimorphic, 1),
        ("mimicry", mimicry, 1),
        ("within_species", within_species, np.inf),
        ("clutter", clutter, np.inf),
    ):
        if not 0 <= value <= most:
            raise ValueError(f"{name} is {value}, not between 0 and {most}")
    if n_specimens < 1:
        raise ValueError(f"n_specimens is {n_specimens}: at least 1")
    seeds = (int(part.generate_state(1)[0]) for part in np.random.SeedSequence(seed).spawn(len(STAGES)))
    seed_of = dict(zip(STAGES, seeds, strict=True))
    rng = {stage: np.random.default_rng(number) for stage, number in seed_of.items()}
    tree = evolution.birth_death_tree(n_species, seed_of["tree"])
    taxa = evolution.classify(tree, n_families, n_genera, seed_of["names"])
    nodes = evolution.node_linkage(tree)
    history = _history(nodes, n_families, pagel_lambda, seed_of)
    species = _morphs(_mimics(history[:n_species], taxa, mimicry, rng["mimics"]), dimorphic, rng["morphs"])
    specimens = _individuals(species, taxa, n_specimens, within_species, rng["individuals"])
    sequences = evolution.barcodes(tree, [n_specimens] * n_species, seed_of["barcodes"])
    specimens.insert(4, "barcode", sequences["nucleotides"])
    scenes = pd.DataFrame([asdict(photographs.draw_scene(rng["scenes"], clutter)) for _ in range(len(specimens))])
    named = [hashlib.sha256(f"{seed} {i}".encode()).hexdigest()[:12] for i in range(len(specimens))]
    specimens.insert(0, "hash_id", named)
    return World(tree, nodes, taxa, history, species, pd.concat([specimens, scenes.add_prefix("scene_")], axis=1))


def _history(nodes, n_families, lam, seed_of):
    """Traits of all nodes: continuous traits by Brownian motion, characters by the Mk model."""
    ages = np.sort(evolution.node_heights(nodes))[::-1]
    # A body plan does not change after the age at which the tree is cut into families. So the cut is not arbitrary: all species
    # of a family have one body plan, and only proportions and patterns still evolve.
    frozen = {"body_plan": ages[n_families - 1]}
    characters = {name: (states, CHANGES[name], frozen.get(name, 0)) for name, states in CHARACTERS.items()}
    measured = evolution.brownian_traits(nodes, (*SHAPE_TRAITS, *COLOUR_TRAITS), lam, seed_of["measured"])
    return pd.concat([measured, evolution.markov_traits(nodes, characters, lam, seed_of["characters"])], axis=1)


def _mimics(species, taxa, share, rng):
    """Give a share of the species the colours of a model, which is a species of another family with the same body plan.

    The same colour traits look different on another body plan, so species without such a model stay unchanged.
    """
    family, plan = taxa["family"].to_numpy(), species["body_plan"].to_numpy()
    models = [np.flatnonzero((family != family[i]) & (plan == plan[i])) for i in range(len(species))]
    able = np.array([i for i in rng.permutation(len(species)) if len(models[i])], int)
    luck = rng.random(len(species))  # drawn for all species, so a larger share contains the same mimics
    mimics = able[: round(share * len(able))]
    chosen = np.array([models[i][int(luck[i] * len(models[i]))] for i in mimics], int)
    coloured = [*COLOUR_TRAITS, "pattern"]
    copied = species.assign(mimics=pd.Series(pd.NA, species.index, dtype="string"))
    copied.loc[mimics, coloured] = species.loc[chosen, coloured].to_numpy()
    copied.loc[mimics, "mimics"] = taxa.loc[chosen, "species"].to_numpy()
    return copied


def _morphs(species, share, rng):
    """Give a share of the species a second morph: columns morph_<trait>, its effect on a trait (0 without a second morph)."""
    steps = rng.normal(0, MORPH_DISTANCE, (len(species), len(MORPH_TRAITS)))
    steps[rng.permutation(len(species)) >= round(share * len(species))] = 0
    return species.join(pd.DataFrame(steps, species.index, [f"morph_{name}" for name in MORPH_TRAITS]))


def _individuals(species, taxa, n_specimens, within, rng):
    """Specimens of every species (DataFrame): taxa, morph (0 or 1), the mimicked species, and own traits as trait_<name>."""
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
    """Photograph (PIL, RGB, `size` pixels square) of `row`, one row of World.specimens as a dict."""
    traits = {name: row[f"trait_{name}"] for name in TRAITS}
    scene = photographs.Scene(**{k.removeprefix("scene_"): v for k, v in row.items() if k.startswith("scene_")})
    return photographs.photograph(traits, scene, size)


def photograph_all(specimens, paths, size=256):
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
