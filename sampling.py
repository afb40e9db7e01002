"""Which photographs an experiment looks at: halves of the families, and samples of every taxon."""

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold


def family_halves(families):
    """0 or 1 for every one of a Series of family names, missing where no name is: whole families, about as many photographs."""
    known = families.dropna()
    if known.nunique() < 2:
        return families.map(dict.fromkeys(known.unique(), 0))
    _, second = next(GroupKFold(2).split(known, groups=known))
    half = pd.Series(0, known.index)
    half.iloc[second] = 1
    return half.reindex(families.index)


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
