# ---
# jupyter:
#   jupytext:
#     formats: ipynb,py:percent
#     text_representation:
#       extension: .py
#       format_name: percent
#       format_version: '1.3'
#   kernelspec:
#     display_name: Python 3 (ipykernel)
#     language: python
#     name: python3
# ---

# %% [markdown]
# # 21 · What a person decided
#
# **The question.** Someone looked at the clusters and accepted, split, merged, corrected and named some of them. What becomes
# of the rest, and how far do the names reach?
#
# **In:** `review.csv`, which the atlas (chapter 20) saves; the embedding and the clusters of one run. **Out:** `reviewed.csv`:
# every photograph with its clusters, the decision, its trust and its names, with columns of Darwin Core;
# `review_rejected.csv`: rows of the review that cannot be used. The scores of chapter 06 do not change: they are of the method
# alone.

# %% tags=["parameters"]
dataset = "demo"
review = ""  # review.csv; empty: an example, the five most trusted clusters accepted, named by their number
digest = ""  # of this file, by which make notices that it changed
run = ""  # encoder/clusterer; empty: the run of submission.csv
encoders = []  # whose clusters may agree; empty: those of the last make
seed = 0
coefficients = "eu_moths"  # of trust, in params/trust/

# %% jupyter={"source_hidden": true}
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, "..")
import pandas as pd

import clustering
import plotting
import review as reviews
import trust
import utils

folder = utils.dataset_dir(dataset)
specimens = utils.load_metadata(dataset)
ids = specimens["hash_id"]
run = run or utils.load_plan(dataset)["submit"]
encoder, clusterer = run.split("/")
config, points, genus_points = clustering.load_prepared(dataset, run, ids, seed)
clusters = utils.load_clusters(dataset, run, seed, ids)

# %% [markdown]
# ## The decisions
#
# - **accepted**: the photograph is in a cluster that was accepted as it is.
# - **edited**: it is in a cluster that was split, merged, grown or named.
# - **noise**: it shows no organism, or nothing that can be used.
# - **duplicate**: it shows the same as another photograph.
#
# A row that cannot be used is listed with the reason, and the others count.

# %%
if not review:
    trusted = reviews.load_current(dataset, ids)
    best = trusted.groupby("species_cluster")["trust"].agg(["mean", "size"]).query("size > 2")["mean"].nlargest(5).index
    example = trusted[trusted["species_cluster"].isin(best)].rename(columns={"species_cluster": "cluster"})
    example = example.assign(decision="accepted", scientificName="species " + example["cluster"].map(str), taxonRank="species")
    path = Path(tempfile.mkdtemp()) / "review.csv"
    utils.write_table(example.reindex(columns=list(reviews.COLUMNS)), path)
else:
    path = utils.ROOT / Path(review).expanduser()
decided, rejected = reviews.read_review(path, ids)
utils.write_table(rejected, folder / "review_rejected.csv")
print(f"{'' if review else 'An example, as no review was given: '}{len(rejected):,} rows cannot be used")
decided["decision"].value_counts().to_frame()

# %%
rejected.head(10)

# %% [markdown]
# ## The rest is clustered again
#
# Accepted and edited clusters stay, photograph by photograph. All other photographs are clustered as before, family by family,
# without those that are settled. A duplicate follows its original. It is checked that no decision was changed.

# %%
found = reviews.apply_review(decided, clusters, points, genus_points, config, seed)
reviews.check_kept(decided, found)
kept = found["decision"].isin(reviews.KEPT)
pd.DataFrame(
    {
        "species clusters": [found.loc[kept, "species_cluster"].nunique(), found.loc[~kept, "species_cluster"].nunique()],
        "before": [clusters.loc[kept, "species_cluster"].nunique(), clusters.loc[~kept, "species_cluster"].nunique()],
        "photographs": [kept.sum(), (~kept).sum()],
    },
    index=["decided", "the rest"],
)

# %% [markdown]
# ## Names and trust
#
# A name that was given to a cluster is the name of all its photographs, and of their duplicates. Trust is computed as in
# chapter 16, for the clusters as they are now: it says which photographs of a named cluster to check. Unnamed photographs keep
# the family that the dataset gives.

# %%
encoders = encoders or utils.load_plan(dataset)["encoders"]
others = trust.independent_clusters(dataset, run, encoders, seed, ids)
inside = found["species_cluster"].notna().to_numpy()
labels, families = found.loc[inside, "species_cluster"].to_numpy(), found.loc[inside, "family_cluster"]
rounds = 0 if others else 10
also = [other[inside] for other in others.values()]
features = trust.features(points[inside], genus_points[inside], families, labels, config, also, rounds)
weights = utils.load_params("trust", coefficients)["several_encoders" if others else "one_encoder"]
found.loc[inside, "trust"] = trust.predict(features, weights).round(4)
found["cluster_trust"] = found.groupby("species_cluster")["trust"].transform("mean").round(4)
named = found["scientificName"].notna()
found["family"] = found["family"].fillna(specimens["family"].astype("string"))
found = reviews.darwin_core(dataset, found)
columns = ["hash_id", *reviews.CLUSTERS, "trust", "cluster_trust", "decision", "duplicate_of", *reviews.NAMES]
utils.write_table(found[columns], folder / "reviewed.csv")
found.loc[named, ["scientificName", "family", "trust"]].groupby(["family", "scientificName"])["trust"].agg(["size", "mean"])

# %% [markdown]
# ## What we learned

# %%
plotting.say(
    f"Of {len(found):,} photographs {len(decided):,} are decided; they fall into "
    f"{found.loc[kept, 'species_cluster'].nunique():,} species clusters, which stay.",
    f"The other {found['decision'].isna().sum():,} now fall into {found.loc[~kept, 'species_cluster'].nunique():,} clusters.",
    f"{named.sum():,} photographs carry a name that was given in the review, with a mean trust of "
    f"{found.loc[named, 'trust'].mean():.2f}." if named.any() else "No cluster has been named.",
)

# %% tags=["summary"]
print(
    f"{len(decided):,} photographs decided ({len(rejected):,} rows rejected), {named.sum():,} named, "
    f"{found['decision'].isna().sum():,} clustered again"
)
