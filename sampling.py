"""Which photographs an experiment looks at: halves of the families, and samples of every taxon."""

import numpy as np
import pandas as pd


def family_halves(families):
    """0 or 1 for every one of a Series of family names, missing where no name is: families dealt out by falling size."""
    sizes = families.value_counts().sort_index().sort_values(kind="stable", ascending=False)
    return families.map(dict(zip(sizes.index, np.resize([0, 1, 1, 0], len(sizes)), strict=True)))


def sample_of_each(taxa, sizes, seed):
    """Rows, in their order, of `sizes[taxon]` or fewer of every taxon in (n,) names, drawn at random."""
    taxa = np.asarray(taxa)
    order = np.random.default_rng(seed).permutation(len(taxa))
    place = pd.Series(order).groupby(taxa[order]).cumcount().to_numpy()
    return np.sort(order[place < pd.Series(taxa[order]).map(sizes).to_numpy()])


def uneven_sizes(counts, power, seed):
    """{taxon: size}, 1 or more, that falls with a power of the taxon's place in a random order (Zipf's law).

    `counts` is a Series, taxon to the size it has: at power 0 all keep it, at 1 the tenth keeps a tenth.
    """
    place = np.random.default_rng(seed).permutation(len(counts)) + 1
    return dict(zip(counts.index, np.ceil(counts.to_numpy() / place**power).astype(int), strict=True))
