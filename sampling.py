"""Selection of photographs for experiments: halves of the families, and samples of every taxon."""

import numpy as np
import pandas as pd
from sklearn.model_selection import GroupKFold


def family_halves(families):
    """Half (0 or 1) of every row of a Series of family names; missing where there is no name.

    No family is in both halves, and both have about the same number of photographs. A single family is in half 0.
    """
    known = families.dropna()
    if known.nunique() < 2:
        return families.map(dict.fromkeys(known.unique(), 0))
    _, second = next(GroupKFold(2).split(known, groups=known))
    half = pd.Series(0, known.index)
    half.iloc[second] = 1
    return half.reindex(families.index)


def sample_of_each(taxa, sizes, seed):
    """Row numbers of a random sample, in their order: `sizes[taxon]` rows or fewer of every taxon in the names `taxa` (n,)."""
    taxa = np.asarray(taxa)
    order = np.random.default_rng(seed).permutation(len(taxa))
    place = pd.Series(order).groupby(taxa[order]).cumcount().to_numpy()
    return np.sort(order[place < pd.Series(taxa[order]).map(sizes).to_numpy()])


def uneven_sizes(counts, power, seed):
    """{taxon: sample size}, 1 or more; the size falls with a power of the taxon's place in a random order (Zipf's law).

    `counts` is a Series of the full size by taxon. At power 0 every taxon keeps its full size. At power 1 the tenth taxon keeps
    a tenth of it.
    """
    place = np.random.default_rng(seed).permutation(len(counts)) + 1
    return dict(zip(counts.index, np.ceil(counts.to_numpy() / place**power).astype(int), strict=True))
