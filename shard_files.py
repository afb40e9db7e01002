"""The files of an embedding: Parquet with a vector per photograph and layer, and what each file was made from.

Photographs that were added or removed change the content of most files, because all photographs are in one order. `Known` finds
the vectors that were computed before, so that only new photographs have to be described.
"""

import json

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from files import atomic_write


def made_from(path):
    """What `write` was given as `about`, {name: text}; empty if nothing is stored. ValueError or OSError for a broken file."""
    stored = pq.read_schema(path).metadata or {}
    return {name.decode(): text.decode() for name, text in stored.items()}


def write(path, ids, values, about):
    """Write one file: `ids` (n) as hash_id, a column for each layer of `values` {layer: (n, d) float32}, and `about`."""
    columns = {"hash_id": pa.array(ids, pa.string())}
    for name, vectors in values.items():
        columns[name] = pa.FixedSizeListArray.from_arrays(pa.array(vectors.ravel(), pa.float32()), vectors.shape[1])
    with atomic_write(path) as temporary:
        pq.write_table(pa.table(columns).replace_schema_metadata(about), temporary, write_page_checksum=True)


class Known:
    """Vectors of photographs that were described before with the same `settings` (a digest), read from files at `paths`.

    A photograph is known by its key, [hash_id, sha256]; the files name theirs as `photographs`, in JSON. Files that cannot be
    read are left out. All vectors are in memory.
    """

    def __init__(self, paths, settings):
        self.places = {}
        for path in paths:
            try:
                about = made_from(path)
                if about.get("settings") != settings:
                    continue
                table = pq.read_table(path, page_checksum_verification=True).drop_columns("hash_id")
            except (ValueError, OSError):
                continue
            flat = {name: table[name].combine_chunks().flatten().to_numpy() for name in table.column_names}
            layers = {name: values.reshape(len(table), -1) for name, values in flat.items()}
            self.places |= {tuple(key): (layers, row) for row, key in enumerate(json.loads(about["photographs"]))}

    def __contains__(self, key):
        return tuple(key) in self.places

    def complete(self, keys, new):
        """{layer: (n, d)} of all `keys` (n): the known vectors, and those of the others, `new` {layer: (m, d)}, in order."""
        found = [self.places.get(tuple(key)) for key in keys]
        names = new or next(place[0] for place in found if place)
        vectors = {}
        for name in names:
            left = iter(new.get(name, ()))
            vectors[name] = np.stack([place[0][name][place[1]] if place else next(left) for place in found])
        return vectors
