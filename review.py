"""What a person decided about clusters: read review.csv, keep every decision, and cluster the rest again.

The atlas (chapter 20) writes review.csv, chapter 21 applies it. A decision is about a photograph, so it holds whatever encoder
or clusterer runs later.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

import clustering
import specimen_table
import spreadsheet
import utils

NAMES = ("taxonID", "taxonRank", "family", "genus", "scientificName", "identificationRemarks")  # Darwin Core terms
COLUMNS = (*specimen_table.REVIEW, *NAMES)
KEPT = ("accepted", "edited")  # in a cluster that a person accepted, or made by a split, a merge, a move or a name
DECISIONS = (*KEPT, "noise", "duplicate")
CLUSTERS = [f"{rank}_cluster" for rank in utils.RANKS]


def is_review(header):
    """Whether these are the columns of a review.csv."""
    return set(specimen_table.REVIEW) <= set(header)


def read_review(path, ids):
    """The decisions about the photographs `ids`: DataFrame of text with COLUMNS, and the rows that cannot be used.

    Rejected rows have `hash_id, row, reason`; `row` is the line number. FileNotFoundError or ValueError, in one line, if there
    is no such file or it is not a review.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"REVIEW={path} is not a file: the atlas saves one (data/<dataset>/atlas/<encoder>.html)"
        )
    header, records = specimen_table.read_csv(path)
    if not is_review(header):
        wanted = ", ".join(COLUMNS[:4])
        raise ValueError(f"{path} is not a review: it should have the columns {wanted}, as a file that the atlas saved")
    if repeated := sorted({name for name in header if name in COLUMNS and header.count(name) > 1}):
        raise ValueError(f"{path} has several columns {repeated[0]}: remove all but one")
    width = len(header)
    cells = [(row + [""] * width)[:width] for _, row in records]
    table = pd.DataFrame(cells, columns=header, dtype="string").replace("", pd.NA)
    table = spreadsheet.unescaped(table.reindex(columns=list(COLUMNS))).astype("string")
    table["row"] = [line for line, _ in records]
    reasons = _faults(table, set(ids))
    reasons[[any(row[width:]) for _, row in records]] = "more cells than columns"
    rejected = table.loc[reasons != "", ["hash_id", "row"]].assign(reason=reasons[reasons != ""])
    return table[reasons == ""].drop(columns="row").reset_index(drop=True), rejected.reset_index(drop=True)


def _faults(table, ids):
    """What is wrong with every row of a review: Series of text, empty where nothing is."""
    reasons = pd.Series("", table.index, dtype="string")

    def reject(rows, reason):
        reasons[rows.fillna(False).astype(bool) & (reasons == "")] = reason

    reject(table["hash_id"].isna(), "no hash_id")
    reject(~table["hash_id"].isin(ids), "no photograph of this dataset has this hash_id")
    reject(table["hash_id"].duplicated(keep=False), "another row is about the same photograph")
    reject(~table["decision"].isin(DECISIONS), f"decision should be one of {', '.join(DECISIONS)}")
    path = table["cluster"].str.fullmatch(r"(?s).+/[^/]+/[^/]+").fillna(False)
    reject(table["decision"].isin(KEPT) & ~path, "cluster should be a path: family/genus/species")
    duplicates = table["decision"] == "duplicate"
    reject(duplicates & ~table["duplicate_of"].isin(ids), "duplicate_of is no photograph of this dataset")
    usable = duplicates & (reasons == "")
    originals = dict(zip(table["hash_id"][usable], table["duplicate_of"][usable], strict=True))
    circular = [i for i in originals if original_of(i, originals) is None]
    reject(duplicates & table["hash_id"].isin(circular), "it is a duplicate of itself, perhaps through others")
    return reasons


def original_of(name, originals):
    """The photograph that `name` is in the end a duplicate of, by {duplicate: original}; None if that is itself."""
    seen = set()
    while name in originals:
        if name in seen:
            return None
        seen.add(name)
        name = originals[name]
    return name


def apply_review(review, clusters, points, genus_points, clusterer, seed=0):
    """The clusters of a run with all decisions of a `review` in them: DataFrame with a row per photograph of `clusters`.

    `clusters` (n rows) has hash_id and CLUSTERS, `points` (n, d) and `genus_points` (n, e) are the prepared vectors
    (`clustering.Clusterer.prepare_both`) in the same order. The columns are hash_id, CLUSTERS and those of `review` from the
    decision on. Accepted and edited clusters stay as they are. Noise has a family and no other cluster. A duplicate has the
    cluster and the names of its original. All others are clustered again by `clusterer`, family by family, and get new names of
    clusters.
    """
    review = review.set_index("hash_id").reindex(clusters["hash_id"])
    decision = review["decision"].fillna("").to_numpy(str)
    found = clusters[["hash_id", *CLUSTERS]].reset_index(drop=True).astype("string")
    kept = np.isin(decision, KEPT)
    parts = review["cluster"][kept].str.rsplit("/", n=2)
    found.loc[kept, CLUSTERS[0]] = parts.str[0].to_numpy()
    found.loc[kept, CLUSTERS[1]] = (parts.str[0] + "/" + parts.str[1]).to_numpy()
    found.loc[kept, CLUSTERS[2]] = review["cluster"][kept].to_numpy()
    found.loc[decision == "noise", CLUSTERS[1:]] = pd.NA
    rest = np.flatnonzero(decision == "")
    if len(rest):
        families = found[CLUSTERS[0]].to_numpy(object)[rest]
        again = clustering.cluster_prepared(
            points[rest], genus_points[rest], families, replace(clusterer, use_family=True), seed
        )
        named = utils.name_clusters(found["hash_id"][rest], again["family"], again["genus"], again["species"])
        found.loc[rest, CLUSTERS[1:]] = _renumbered(named, found.loc[kept, CLUSTERS[1]])[CLUSTERS[1:]].to_numpy()
    found = pd.concat([found, review.drop(columns="cluster").reset_index(drop=True)], axis=1)
    originals = dict(found.loc[found["decision"] == "duplicate", ["hash_id", "duplicate_of"]].to_numpy())
    place = pd.Series(found.index, found["hash_id"])
    copies = list(originals)
    sources = place[[original_of(name, originals) for name in copies]].to_numpy()
    inherited = [*CLUSTERS, *NAMES[:-1]]
    found.loc[place[copies].to_numpy(), inherited] = found.loc[sources, inherited].to_numpy()
    return found


def _renumbered(named, kept):
    """A cluster table whose genus numbers follow those of the `kept` genus clusters of the same family."""
    numbers = kept.str.extract(r"(?s)^(.*)/g(\d+)$").dropna()
    used = numbers[1].astype(int).groupby(numbers[0]).max()
    number = named["genus_cluster"].str.extract(r"/g(\d+)$")[0].astype(int)
    genus = (
        named["family_cluster"]
        + "/g"
        + (number + named["family_cluster"].map(used).fillna(0).astype(int)).astype("string")
    )
    species = genus + "/" + named["species_cluster"].str.rsplit("/", n=1).str[1]
    return named.assign(genus_cluster=genus, species_cluster=species)


def check_kept(review, found):
    """Raise ValueError unless every decision of a `review` stands in `found`, the table of `apply_review`."""
    joined = review.merge(found, on="hash_id", suffixes=("", "_found"))
    kept = joined["decision"].isin(KEPT)
    lost = len(joined) < len(review) or (joined["decision"] != joined["decision_found"].fillna("")).any()
    moved = (joined["cluster"] != joined["species_cluster"].fillna(""))[kept].any()
    joined_by_others = found["species_cluster"].isin(joined["cluster"][kept]) & found["decision"].isna()
    if lost or moved or joined_by_others.any():
        raise ValueError("a decision of the review was changed")


def darwin_core(dataset, table):
    """`table` with the Darwin Core terms filled in where they are blank: a table of `apply_review` with trust.

    taxonID is the name of the species, or the cluster if it has none. identificationRemarks says how the name came about.
    """
    rank = pd.Series(pd.NA, table.index, "string")
    for column, level in (("family", "family"), ("genus", "genus"), ("scientificName", "species")):
        rank[table[column].notna()] = level
    rank = table["taxonRank"].fillna(rank)
    name = table["scientificName"].fillna(table["genus"]).fillna(table["family"])
    remarks = "cluster " + table["species_cluster"].fillna("none") + ", " + table["decision"].fillna("not reviewed")
    remarks += (", trust " + table["trust"].map("{:.2f}".format, na_action="ignore").astype("string")).fillna("")
    return table.assign(
        scientificName=name,
        taxonRank=rank,
        taxonID=table["taxonID"].fillna(f"{dataset}:" + name.where(rank == "species").fillna(table["species_cluster"])),
        identificationRemarks=table["identificationRemarks"].fillna(remarks),
    )


def load_current(dataset, ids, reviewed=False):
    """The clusters of the submitted run with their trust, one row per photograph in the order of `ids`.

    They are those of trust.csv, or with `reviewed` those of reviewed.csv with decisions and names.
    """
    path = utils.dataset_dir(dataset) / ("reviewed.csv" if reviewed else "trust.csv")
    # names and ids are text, also "007" and "NA"
    blank = {name: [""] for name in (*COLUMNS, *CLUSTERS)}
    table = utils.read_table(path, dtype="string", keep_default_na=False, na_values=blank)
    table = table.set_index("hash_id").loc[list(ids)].reset_index()
    trust = table[["trust", "cluster_trust"]].replace("", pd.NA).astype("Float64").astype(float)
    return table.assign(**trust)
