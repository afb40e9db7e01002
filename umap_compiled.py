"""UMAP whose compiled code stays on the disk.

Numba compiles umap-learn anew in every process, which takes longer than a map of a thousand photographs. Numba can keep
compiled code beside the package (or in its own folder for the user), and compiles again after a change of the package, of
Numba, or of the processor. umap-learn does not ask for it.
"""

import contextlib

from numba.core.dispatcher import Dispatcher
from umap import UMAP, distances, layouts, sparse, spectral, umap_, utils

__all__ = ["UMAP"]

for _module in (distances, layouts, sparse, spectral, umap_, utils):
    for _function in vars(_module).values():
        if isinstance(_function, Dispatcher):
            with contextlib.suppress(RuntimeError):  # there is no folder that may be written: it works without
                _function.enable_caching()
