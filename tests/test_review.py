"""What a person decided about clusters: reading it, keeping it, and clustering the rest again."""

import numpy as np
import pandas as pd
import pytest

import clustering
import review
import utils
from simulation.embeddings import EmbeddingConfig, draw_embedding

CONFIG = clustering.Clusterer.of()


@pytest.fixture(scope="module")
def run():
    """Clusters of a simulated embedding: the cluster table and the points."""
    points, taxa = draw_embedding(EmbeddingConfig(families=(3, 4, 5), photographs=12), seed=3)
    points = clustering.prepare(points)
    found = clustering.cluster_prepared(points, points, taxa["family"], CONFIG)
    ids = [f"p{i:03d}" for i in range(len(points))]
    return utils.name_clusters(ids, found["family"], found["genus"], found["species"]), points


def decisions(clusters, seed):
    """A review of random decisions: some clusters accepted, one merged of two, and single photographs marked."""
    random = np.random.default_rng(seed)
    labels = random.permutation(clusters["species_cluster"].unique())
    table = (
        clusters[["hash_id"]]
        .assign(cluster=clusters["species_cluster"], decision=pd.NA, duplicate_of=pd.NA)
        .astype("string")
    )
    table.loc[table["cluster"].isin(labels[:3]), "decision"] = "accepted"
    merged = table["cluster"].isin(labels[3:5])
    table.loc[merged, ["cluster", "decision"]] = [f"{labels[3].rsplit('/', 1)[0]}/r1", "edited"]
    single = random.permutation(np.flatnonzero(table["decision"].isna()))[:4]
    table.loc[single[:2], "decision"] = "noise"
    table.loc[single[2:], "decision"] = "duplicate"
    table.loc[single[2:], "duplicate_of"] = [table["hash_id"].iloc[0], table["hash_id"].iloc[single[2]]]
    if single[2] == 0:
        table.loc[0, ["decision", "duplicate_of"]] = pd.NA
    for name in review.NAMES:
        table[name] = pd.Series(pd.NA, table.index, "string")
    table.loc[merged, ["genus", "scientificName", "taxonRank"]] = ["Agrotis", "Agrotis segetum", "species"]
    return table[table["decision"].notna()].reset_index(drop=True)


@pytest.mark.parametrize("seed", range(5))
def test_no_decision_is_changed_and_every_photograph_has_its_place(run, seed):
    clusters, points = run
    decided = decisions(clusters, seed)
    found = review.apply_review(decided, clusters, points, points, CONFIG).set_index("hash_id")
    assert list(found.index) == clusters["hash_id"].tolist()
    review.check_kept(decided, found.reset_index())
    for row in decided.itertuples():
        if row.decision in review.KEPT:
            assert found.loc[row.hash_id, "species_cluster"] == row.cluster
            assert found["species_cluster"].eq(row.cluster).sum() >= (decided["cluster"] == row.cluster).sum()
        if row.decision == "noise":
            assert found.loc[row.hash_id, ["genus_cluster", "species_cluster"]].isna().all()
        if row.decision == "duplicate":
            other = found.loc[row.duplicate_of]
            assert found.loc[row.hash_id, "species_cluster"] is other["species_cluster"] or (
                found.loc[row.hash_id, "species_cluster"] == other["species_cluster"]
            )
            assert found.loc[row.hash_id, "scientificName"] is other["scientificName"] or (
                found.loc[row.hash_id, "scientificName"] == other["scientificName"]
            )
    rest = found[found["decision"].isna()]
    assert not set(rest["species_cluster"]) & set(decided.loc[decided["decision"].isin(review.KEPT), "cluster"])
    inside = found[found["species_cluster"].notna()].reset_index()
    utils.check_clusters(inside, inside["hash_id"])  # nested
    families = clusters.set_index("hash_id")["family_cluster"]
    assert (rest["family_cluster"] == families[rest.index]).all()
    named = found["scientificName"].notna()
    assert named[decided.loc[decided["decision"] == "edited", "hash_id"]].all()
    assert named.sum() >= (decided["decision"] == "edited").sum()


def test_the_rest_is_clustered_as_if_the_others_were_not_there(run):
    clusters, points = run
    accepted = clusters["family_cluster"] == "f0"
    decided = clusters[accepted].assign(cluster=clusters["species_cluster"], decision="accepted")
    decided = decided.reindex(columns=list(review.COLUMNS))
    found = review.apply_review(decided, clusters, points, points, CONFIG)
    rest = ~accepted.to_numpy()
    again = clustering.cluster_prepared(points[rest], points[rest], clusters["family_cluster"][rest], CONFIG)
    assert len(set(zip(found["species_cluster"][rest], again["species"], strict=True))) == again["species"].nunique()


def test_all_decided_or_nothing_decided(run):
    clusters, points = run
    everything = clusters.assign(cluster=clusters["species_cluster"], decision="accepted").reindex(
        columns=list(review.COLUMNS)
    )
    found = review.apply_review(everything, clusters, points, points, CONFIG)
    assert found["species_cluster"].tolist() == clusters["species_cluster"].tolist()
    found = review.apply_review(everything.iloc[:0], clusters, points, points, CONFIG)
    assert found["decision"].isna().all() and len(found) == len(clusters)


def test_a_changed_decision_is_noticed(run):
    clusters, points = run
    decided = decisions(clusters, 0)
    found = review.apply_review(decided, clusters, points, points, CONFIG)
    kept = np.flatnonzero(found["decision"].fillna("") == "accepted")[0]
    for column, row, value in (
        ("species_cluster", kept, "elsewhere/g1/s1"), ("decision", kept, "noise"),
        ("species_cluster", np.flatnonzero(found["decision"].isna())[0], found["species_cluster"][kept]),
    ):  # fmt: skip
        changed = found.copy()
        changed.loc[row, column] = value
        with pytest.raises(ValueError, match="a decision of the review was changed"):
            review.check_kept(decided, changed)


def save(folder, *rows, header="hash_id,cluster,decision,duplicate_of,genus"):
    (folder / "review.csv").write_text("\n".join([header, *rows]))
    return folder / "review.csv"


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (",F/g1/s1,accepted,", "no hash_id"),
        ("a,F/g1/s1,accepted,,Agrotis, segetum", "more cells than columns"),
        ("zz,F/g1/s1,accepted,", "no photograph of this dataset has this hash_id"),
        ("a,F/g1/s1,fine,", "decision should be one of accepted, edited, noise, duplicate"),
        ("a,,accepted,", "cluster should be a path: family/genus/species"),
        ("a,F,edited,", "cluster should be a path: family/genus/species"),
        ("a,,duplicate,zz", "duplicate_of is no photograph of this dataset"),
        ("a,,duplicate,a", "it is a duplicate of itself, perhaps through others"),
    ],
)
def test_a_row_that_cannot_be_used_is_rejected_with_its_line_and_the_others_count(tmp_path, row, reason):
    decided, rejected = review.read_review(save(tmp_path, "b,A/b/g1/s1,accepted,,Agrotis", row), ["a", "b", "c"])
    assert decided["hash_id"].tolist() == ["b"] and decided["genus"].tolist() == ["Agrotis"]
    assert rejected[["row", "reason"]].values.tolist() == [[3, reason]]


def test_two_rows_about_one_photograph_and_duplicates_in_a_circle_are_rejected(tmp_path):
    path = save(
        tmp_path,
        "a,F/g/s,accepted,",
        "a,F/g/t,accepted,",
        "b,,duplicate,c",
        "c,,duplicate,b",
        "d,,duplicate,e",
        "e,,noise,",
    )
    decided, rejected = review.read_review(path, list("abcdef"))
    assert decided["hash_id"].tolist() == ["d", "e"] and rejected["row"].tolist() == [2, 3, 4, 5]


def test_what_is_no_review_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"REVIEW=.*nowhere.csv is not a file"):
        review.read_review(tmp_path / "nowhere.csv", [])
    with pytest.raises(
        ValueError, match="is not a review: it should have the columns hash_id, cluster, decision, duplicate_of"
    ):
        review.read_review(save(tmp_path, "a", header="hash_id"), [])
    with pytest.raises(ValueError, match="has several columns cluster"):
        review.read_review(save(tmp_path, "a", header=",".join([*review.COLUMNS, "cluster"])), [])


def test_a_name_that_a_spreadsheet_would_run_is_marked_and_read_back(tmp_path):
    about = {"hash_id": "a", "cluster": "F/g1/s1", "decision": "accepted", "family": "'=cmd()"}
    cells = dict.fromkeys(review.COLUMNS, "") | about
    decided, _ = review.read_review(save(tmp_path, ",".join(cells.values()), header=",".join(cells)), ["a"])
    assert decided["family"].tolist() == ["=cmd()"]


def test_darwin_core_terms_are_filled_in_where_they_are_blank():
    table = pd.DataFrame(
        {
            "species_cluster": ["F/g1/s1", "F/g1/s2", pd.NA, "F/g2/s1"], "decision": ["edited", pd.NA, "noise", "accepted"],
            "trust": [0.876, 0.5, np.nan, 0.25], "family": ["F", "F", "F", pd.NA], "genus": ["G", pd.NA, pd.NA, pd.NA],
            "scientificName": ["G s", pd.NA, pd.NA, pd.NA], "taxonID": pd.NA, "taxonRank": pd.NA,
            "identificationRemarks": pd.NA,
        }
    ).astype(dict.fromkeys(("species_cluster", "decision", *review.NAMES), "string"))  # fmt: skip
    found = review.darwin_core("mine", table)
    assert found["taxonRank"].fillna("").tolist() == ["species", "family", "family", ""]
    assert found["scientificName"].fillna("").tolist() == ["G s", "F", "F", ""]
    assert found["taxonID"].fillna("").tolist() == ["mine:G s", "mine:F/g1/s2", "", "mine:F/g2/s1"]
    assert found["identificationRemarks"].tolist() == [
        "cluster F/g1/s1, edited, trust 0.88", "cluster F/g1/s2, not reviewed, trust 0.50", "cluster none, noise",
        "cluster F/g2/s1, accepted, trust 0.25",
    ]  # fmt: skip
