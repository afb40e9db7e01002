"""Simulated embeddings with known species, to test rules for the number of clusters where the truth is certain."""

from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True)
class EmbeddingConfig:
    """What an embedding looks like: `draw_embedding` draws from it."""

    families: tuple = (1, 1, 2, 3, 5, 8, 12)  # number of species in each
    photographs: int = 20  # of every species, or of the commonest one
    power: float = 0.0  # a species' number of photographs falls with this power of its place in a random order (Zipf's law)
    burst: int = 1  # photographs of one individual, nearly alike
    dimensions: int = 128
    separation: float = 0.7  # standard deviation of the species in a genus, in units of that of photographs in a species
    family_separation: float = 1.2  # that of families, in units of `separation`
    species_per_genus: float = 1.3  # as in the real datasets, where it is 1.1 to 1.4
    tail: float = 5.0  # degrees of freedom of Student's t, the distribution of photographs in a species


def draw_embedding(config, seed=0):
    """An embedding (n, d) and the family, genus and species of its rows: array, DataFrame of n rows.

    Variances fall along the axes, as the principal components of a real embedding do. Genera of a family, and families, differ
    a little more than species of a genus: in ImageNet embeddings of the three real datasets their variances are 1.1 to 3 times
    those of species. Photographs in a species scatter with heavy tails.
    """
    random = np.random.default_rng(seed)
    axes = np.arange(1, config.dimensions + 1) ** -0.4
    axes /= np.sqrt((axes**2).mean())
    spread = random.permutation(axes)  # photographs and species do not vary along the same axes
    points, names, place = [], [], random.permutation(sum(config.families))
    for family, n_species in enumerate(config.families):
        centre = config.family_separation * config.separation * axes * random.normal(size=config.dimensions)
        genera = np.arange(n_species) % max(1, round(n_species / config.species_per_genus))
        offsets = 1.2 * config.separation * axes * random.normal(size=(n_species, config.dimensions))
        for species in range(n_species):
            mean = centre + offsets[genera[species]] + config.separation * axes * random.normal(size=config.dimensions)
            n = int(np.ceil(config.photographs / (place[len(names)] + 1) ** config.power))
            individuals = -(-n // config.burst)
            wide = np.sqrt(random.chisquare(config.tail, (individuals, 1)) / config.tail)
            individual = mean + spread * random.normal(size=(individuals, config.dimensions)) / wide
            noise = 0.1 * spread * random.normal(size=(n, config.dimensions)) * (config.burst > 1)
            points.append(np.repeat(individual, config.burst, axis=0)[:n] + noise)
            names.append((f"f{family}", f"f{family} g{genera[species]}", f"f{family} g{genera[species]} s{species}", n))
    names = pd.DataFrame(names, columns=["family", "genus", "species", "n"])
    taxa = names.loc[names.index.repeat(names.pop("n"))].reset_index(drop=True)
    return np.concatenate(points), taxa
