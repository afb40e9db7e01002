"""Paths and tables that several chapters share: locate, read, join and write them."""

import csv
import hashlib
import itertools
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

import parameters
import spreadsheet
from files import atomic_write, locked

ROOT = Path(__file__).resolve().parent
RANKS = ("family", "genus", "species")
DEFAULT_CLUSTERER = parameters.DEFAULT_CLUSTERER
SCORE_COLUMNS = ("dataset", "encoder", "clusterer", "seed", "rank", "metric", "value", "ci_low", "ci_high")  # of all scores

# ---------------------------------------------------------------------------------------------- paths and tables


def _simple_name(name):
    """Return `name` if it cannot point outside its folder; ValueError otherwise."""
    if not parameters.is_plain_name(name):
        raise ValueError(f"{name!r} is no plain name: letters, digits, '.', '_' and '-' only, no folders")
    return name


def dataset_dir(dataset):
    """Folder with all results of one dataset (ignored by git): data/<dataset>/."""
    return ROOT / "data" / _simple_name(dataset)


def figures_dir(dataset):
    """Folder with the figures of one dataset: figures/<dataset>/. It never contains a real photograph."""
    return ROOT / "figures" / _simple_name(dataset)


def embeddings_dir(dataset, encoder):
    """Folder with the embeddings of one encoder: data/<dataset>/embeddings/<encoder>/."""
    return dataset_dir(dataset) / "embeddings" / _simple_name(encoder)


def all_cores():
    """A context in which no other chapter keeps all cores or the graphics card busy: two at once would take longer.

    Chapters that wait for it have loaded their libraries meanwhile.
    """
    return locked(ROOT / "data" / ".plans")


def load_params(kind, name):
    """Read params/<kind>/<name>.yaml as a dict: see `parameters.load_params`."""
    return parameters.load_params(kind, name)


class NotApplicable(ValueError):
    """A chapter can say nothing about a dataset, for the reason given: `make` prints it and goes on (see execute.py)."""


def named_taxa(specimens, least=2):
    """Taxa of specimens (DataFrame of n rows with a column per rank, see `lineage`), and which rows (n,) have all three names.

    NotApplicable if these rows have fewer than `least` species.
    """
    taxa = pd.DataFrame({rank: lineage(specimens, rank) for rank in RANKS})
    known = taxa.notna().all(axis=1).to_numpy()
    if (number := taxa["species"][known].nunique()) < least:
        raise NotApplicable(f"{least} species with names of family, genus and species are needed, and there are {number}")
    return taxa, known


def load_plan(dataset):
    """Settings of the last run of chapter 06 by make (dict): encoders, clusterers, seeds, and the run to submit.

    FileNotFoundError if make has not run chapter 06.
    """
    path = dataset_dir(dataset) / "config.yaml"
    plan = parameters.read_yaml(path).get("plan") if path.is_file() else None
    if not plan:
        raise FileNotFoundError(
            f"{path} holds no plan: name encoders, clusterers and seeds, or run make all DATASET={dataset}"
        )
    return plan


def write_table(table, path):
    """Write a DataFrame to .parquet or .csv (by suffix), whole or not at all.

    In a .csv, text that a spreadsheet would run as a formula has an apostrophe before it, which `read_table` removes.
    """
    with atomic_write(path) as temporary:
        if Path(path).suffix == ".parquet":
            table.to_parquet(temporary, index=False, write_page_checksum=True)
        else:
            texts = table.select_dtypes(exclude=["number", "bool"])
            returns = any("\r" in cell for name in texts for cell in texts[name] if isinstance(cell, str))
            quoted = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL  # Python's csv does not quote a carriage return
            spreadsheet.escaped(table).to_csv(temporary, index=False, quoting=quoted)


@contextmanager
def _reading(path):
    """Convert errors while a table is read to errors that name the file and say what to do."""
    shown = path.relative_to(ROOT) if path.is_relative_to(ROOT) else path
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError(f"{shown} is missing: run make again, or the chapter that writes it") from None
    except (ValueError, OSError) as error:
        reason = " ".join(str(error).split()).replace(str(path), "it")
        raise ValueError(f"{shown} cannot be read ({reason}): delete it and run make again") from error


def read_table(path, **options):
    """Read a table of this project, .parquet or .csv (by suffix, with pandas' `options`).

    FileNotFoundError if there is no such file, ValueError if it cannot be read; both name the file and say what to do.
    """
    path = Path(path)
    with _reading(path):
        if path.suffix == ".parquet":
            return pd.read_parquet(path, page_checksum_verification=True, **options)
        return spreadsheet.unescaped(pd.read_csv(path, **options))


def file_digest(path):
    """SHA-256 of a file, in hexadecimal."""
    with Path(path).open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def load_metadata(dataset):
    """The specimens that chapter 01 accepted: DataFrame with one row each, sorted by `hash_id`."""
    path = dataset_dir(dataset) / "metadata.parquet"
    if not path.is_file():
        raise FileNotFoundError(
            f"{path} is missing: run chapter 01 first (make all DATASET={dataset} SOURCE=<folder with photos and a CSV>)"
        )
    return read_table(path)


def lineage(metadata, rank):
    """The taxon of every row at `rank`, with its ancestors; missing where the rank is not known.

    Two families may each have a genus of the same name, because plants and animals share names and there are spelling errors:
    "Noctuidae > Agrotis" and "Poaceae > Agrotis" are two genera. If a row leaves an ancestor blank, and its taxon has exactly
    one such ancestor in the other rows, that ancestor is used. A ">" in a name is doubled, so " > " always joins two names.
    """
    names = metadata[list(RANKS[: RANKS.index(rank) + 1])].astype("string")
    names = names.apply(lambda column: column.str.replace(">", ">>", regex=False))
    for parent, child in reversed(list(itertools.pairwise(names.columns))):
        known = names[parent].groupby(names[child])
        names[parent] = names[parent].fillna(names[child].map(known.first()[known.nunique() == 1]).astype("string"))
    return names.fillna("").agg(" > ".join, axis=1).astype("string").where(metadata[rank].notna())


def load_truth(dataset, ids):
    """Traits and photographic conditions of simulated specimens: DataFrame with trait_<name> and scene_<name>, a row per id.

    FileNotFoundError if the dataset is not simulated.
    """
    path = dataset_dir(dataset) / "truth.parquet"
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: only a world of params/worlds/ has one, and chapter 00 writes it")
    return read_table(path).set_index("hash_id").loc[list(ids)].reset_index()


# ---------------------------------------------------------------------------------------------------- embeddings


def load_embeddings(dataset, encoder, ids, layer=None):
    """Embeddings of the given specimens: {layer: float32 array (len(ids), d)}, layers from shallow to deep.

    If a `layer` is given by name, or as "first" or "last", only that layer is read. Rows are joined by `hash_id`. KeyError
    names ids that have no embedding, ValueError those with infinite or undefined values, or a table of another form.
    """
    folder = embeddings_dir(dataset, encoder)
    if not (folder / "_SUCCESS").is_file():
        raise FileNotFoundError(f"{folder} is not complete: run chapter 02 with encoder = {encoder!r}")
    found = read_shards(folder, ids, layer)
    for name, values in found.items():
        if not (np.isfinite(values.min(initial=0)) and np.isfinite(values.max(initial=0))):  # without a copy as large
            bad = [i for i, row in zip(ids, values, strict=True) if not np.isfinite(row).all()]
            raise ValueError(
                f"{encoder} has infinite or undefined values in {name} for {len(bad)} specimens: {', '.join(bad[:10])}. "
                "Make the embeddings again (precision=float32 may help)"
            )
    return found


def load_layer(dataset, encoder, ids, layer="last"):
    """One layer of an embedding, float32 (len(ids), d): see `load_embeddings`."""
    return pick_layer(load_embeddings(dataset, encoder, ids, layer), layer)


def read_shards(folder, ids, layer=None):
    """As `load_embeddings`, from a folder that may be incomplete."""
    shards = sorted(folder.glob("part-*.parquet"))
    if not shards:
        raise FileNotFoundError(f"{folder} holds no embeddings: run chapter 02 with encoder = {folder.name!r}")
    with _reading(shards[0]):
        names = [name for name in pq.read_schema(shards[0]).names if name != "hash_id"]
    names = names if layer is None else [*layer_parts(dict.fromkeys(names), layer)]
    parts = []
    for path in shards:
        with _reading(path):
            parts.append(pq.read_table(path, columns=["hash_id", *names], page_checksum_verification=True))
    with _reading(folder):
        table = pa.concat_tables(parts)
    known = pd.Index(table["hash_id"].to_pylist())
    if known.has_duplicates:
        twice = known[known.duplicated()].unique()
        named = ", ".join(map(str, twice[:10]))
        raise ValueError(f"{folder} holds {len(twice)} specimens twice: {named}; run chapter 02 again")
    rows = known.get_indexer(list(ids))
    if (rows < 0).any():
        missing = [i for i, row in zip(ids, rows, strict=True) if row < 0]
        raise KeyError(f"{folder.name} has no embedding for {len(missing)} specimens: {', '.join(missing[:10])}")
    found = {}
    for name in names:
        column = table[name].combine_chunks()
        lists = pa.types.is_list(column.type) or pa.types.is_fixed_size_list(column.type)
        # a missing list would move all rows behind it
        if not lists or column.null_count or pc.count_distinct(pc.list_value_length(column)).as_py() > 1:
            raise ValueError(f"{folder}: column {name} should hold one vector per specimen, all of one length")
        values = column.flatten().to_numpy(zero_copy_only=False).astype(np.float32, copy=False)
        found[name] = values.reshape(len(column), -1)[rows]
    return found


PART = ":"  # in the name of an array of a fused encoder: the layer, this, and the encoder that described this part of it


def layer_name(names, layer):
    """Resolve the name of a layer: "first" is the shallowest and "last" the deepest of `names`; ValueError if unknown."""
    names = list(dict.fromkeys(name.partition(PART)[0] for name in names))
    if layer not in ("first", "last", *names):
        raise ValueError(f"no layer {layer!r}: this encoder has {', '.join(names)} (or say first, last)")
    return {"first": names[0], "last": names[-1]}.get(layer, layer)


def layer_parts(embeddings, layer):
    """Arrays {name: (n, d)} of one layer of an embedding, by name or as "first" or "last": several of a fused encoder."""
    chosen = layer_name(list(embeddings), layer)
    return {name: values for name, values in embeddings.items() if name.partition(PART)[0] == chosen}


def pick_layer(embeddings, layer):
    """One layer of an embedding {layer: (n, d)}, by name or as "first" or "last"; parts of a fused one are side by side."""
    parts = [*layer_parts(embeddings, layer).values()]
    return parts[0] if len(parts) == 1 else np.hstack(parts)


def whole_layers(embeddings):
    """{layer: (n, d)} of an embedding, with the parts of a fused encoder side by side."""
    return {layer: pick_layer(embeddings, layer) for layer in dict.fromkeys(n.partition(PART)[0] for n in embeddings)}


# ------------------------------------------------------------------------------------------------------ clusters


def name_clusters(ids, family, genus, species):
    """Cluster table from three label arrays (n,). The name of a cluster is its path, as in Noctuidae/g2/s1.

    Labels may be local: a genus label within its family, a species label within its genus. The names are unique over the
    dataset and nested by construction. Numbers follow the order of the rows. A family name may contain a slash, so split a path
    from the right.
    """
    family = pd.Series(np.asarray(family, object), dtype="string")

    def inside(parent, labels, letter):
        number = pd.Series(np.asarray(labels)).groupby(parent).transform(lambda group: pd.factorize(group)[0] + 1)
        return parent + f"/{letter}" + number.astype("string")

    genus = inside(family, genus, "g")
    species = inside(genus, species, "s")
    ids = np.asarray(ids, object)
    return pd.DataFrame(
        {"hash_id": ids, "family_cluster": family, "genus_cluster": genus, "species_cluster": species}
    ).astype("string")


def load_clusters(dataset, run, seed, ids):
    """Cluster table of a run ("encoder/clusterer") and seed, one row per photograph in the order of `ids`.

    `attrs["plausible"]` is as in `clustering.cluster`.
    """
    encoder, clusterer = map(_simple_name, run.split("/"))
    path = dataset_dir(dataset) / "clusters" / encoder / clusterer / f"seed={seed}.parquet"
    table = read_table(path)
    check_clusters(table, ids)
    return table.set_index("hash_id").loc[list(ids)].reset_index()


def check_clusters(clusters, ids):
    """Raise ValueError unless every id has one row, no label is missing, and species are nested in genera and families."""
    if clusters["hash_id"].duplicated().any() or set(clusters["hash_id"]) != set(ids):
        raise ValueError("the clusters do not hold every specimen exactly once")
    labels = clusters[[f"{rank}_cluster" for rank in RANKS]]
    if labels.isna().any(axis=None):
        raise ValueError("some specimens have no cluster")
    for parent, child in itertools.pairwise(labels.columns):
        if (labels.groupby(child)[parent].nunique() > 1).any():
            raise ValueError(f"a {child} lies in two {parent}s: the clusters are not nested")
