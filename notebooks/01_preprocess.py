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
# # 1 · From a folder of photographs to a table of specimens
#
# **The question.** Which photographs do we have, which organism does each of them show, and which of them cannot be used?
#
# **In:** a folder with images at any depth, and a CSV with `hash_id` and, where known, `family`, `genus`, `species` and the
# DNA `barcode`.
# A file belongs to the row whose `hash_id` is its name without the extension.
#
# **Out:** `metadata.parquet` (one row per usable specimen), `rejected.csv` (every row and file left out, and why) and
# `reported.csv` (kept, but worth a look: identical photographs, taxon names that occur twice).

# %% tags=["parameters"]
dataset = "demo"
source = ""  # folder with the photographs and the CSV; empty: where they were the last time
csv = ""  # the CSV inside the folder; empty: metadata.csv, or the only CSV there is

# %%
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import pandas as pd
from tqdm import tqdm

import utils
from images import load_rgb

utils.set_style()
folder = utils.dataset_dir(dataset)
COLUMNS = ["hash_id", *utils.RANKS, "barcode"]

# %% [markdown]
# ## The folder
#
# The photographs stay where they are. `data/<dataset>/photos` becomes a link to them, so that every later chapter finds
# them under a path that does not depend on this machine.

# %%
photos = folder / "photos"
if source:
    origin = (utils.ROOT / Path(source).expanduser()).resolve()
    if not origin.is_dir():
        raise NotADirectoryError(f"SOURCE={source} is not a folder (looked for {origin})")
    if origin != photos.resolve():
        if photos.is_dir() and not photos.is_symlink():
            raise FileExistsError(f"data/{dataset}/photos holds photographs already: move them, or leave SOURCE out")
        folder.mkdir(parents=True, exist_ok=True)
        photos.unlink(missing_ok=True)
        photos.symlink_to(origin)
elif not photos.is_dir():
    raise FileNotFoundError(
        f"data/{dataset}/photos is missing: name the folder, make all DATASET={dataset} SOURCE=<folder>"
    )


# %% [markdown]
# ## The table
#
# Names are trimmed and a blank means *unknown*. A `hash_id` that stands in two rows is kept once if the rows agree; if
# they do not, nobody can say which is right, and all of them are rejected.


# %%
def find_csv(photos, csv):
    """The CSV that describes the photographs; FileNotFoundError tells what was found instead."""
    found = sorted(path.name for path in photos.iterdir() if path.suffix.lower() == ".csv")
    chosen = csv or ("metadata.csv" if "metadata.csv" in found else found[0] if len(found) == 1 else "")
    if chosen not in found:
        remedy = (
            "put one there with a hash_id column" if not found else f"choose one of {', '.join(found)} by CSV=<name>"
        )
        raise FileNotFoundError(f"{photos.resolve()} holds no {chosen or 'single CSV'}: {remedy}")
    return photos / chosen


def read_rows(path):
    """The CSV as text columns (COLUMNS; missing where blank or absent), and `row` as in an editor."""
    plain = {"dtype": "string", "keep_default_na": False, "encoding": "utf-8-sig", "skipinitialspace": True}
    try:
        rows = pd.read_csv(path, index_col=False, **plain)
    except ValueError as error:  # wrong encoding, ragged rows, empty file
        raise ValueError(f"{path} cannot be read ({error}): save it as CSV, UTF-8, separated by commas") from error
    rows.columns = rows.columns.str.strip()
    if "hash_id" not in rows:
        raise ValueError(
            f"{path} has no column 'hash_id' but {', '.join(rows.columns)}: rename the column that holds each photo's "
            "file name without extension to hash_id"
        )
    rows = rows.reindex(columns=COLUMNS).astype("string")
    rows = rows.apply(lambda column: column.str.strip()).replace("", pd.NA)
    return rows.assign(row=pd.Series(range(2, len(rows) + 2), rows.index).astype("string"))


# %%
csv_path = find_csv(photos, csv)
rows = read_rows(csv_path)
rejected = []


def reject(table, reason):
    """Note the rows of `table` (hash_id and, if there is one, path) as rejected for `reason` (one or one per row)."""
    rejected.append(table.reindex(columns=["hash_id", "path"]).assign(reason=reason))


blank = rows["hash_id"].isna()
reject(rows[blank], "no hash_id in row " + rows["row"][blank])
rows = rows[~blank]
repeats = rows.duplicated(COLUMNS)
reject(rows[repeats], "duplicate hash_id: row " + rows["row"][repeats] + " repeats an earlier row")
rows = rows[~repeats]
conflicts = rows["hash_id"].duplicated(keep=False)
reject(rows[conflicts], "duplicate hash_id: row " + rows["row"][conflicts] + " contradicts another row")
rows = rows[~conflicts]

# %% [markdown]
# ## The files
#
# Every image below the folder is matched to its row by its stem. A link that points out of the folder is not followed.
# Different files with one stem are ambiguous; of identical ones the first is taken.

# %%
EXTENSIONS = {".jpg", ".jpeg", ".png", ".tif", ".tiff", ".webp", ".bmp"}


def list_images(photos):
    """All image files below the folder: hash_id (stem), path relative to the folder, and whether it lies inside it."""
    root = photos.resolve()
    paths = [Path(parent, name) for parent, _, names in os.walk(root) for name in names]
    images = sorted(path for path in paths if path.suffix.lower() in EXTENSIONS and not path.name.startswith("."))
    return pd.DataFrame(
        {
            "hash_id": pd.Series([path.stem.strip() for path in images], dtype="string"),
            "path": pd.Series([path.relative_to(root).as_posix() for path in images], dtype="string"),
            "inside": [path.resolve().is_relative_to(root) for path in images],
        }
    )


# %%
files = list_images(photos)
if not files["hash_id"].isin(rows["hash_id"]).any():
    raise ValueError(
        f"no image below {photos.resolve()} is named after a hash_id in {csv_path.name}: there are {len(files)} images "
        f"(such as {', '.join(files['path'][:3]) or 'none'}) and {len(rows)} usable rows (such as "
        f"{', '.join(rows['hash_id'][:3]) or 'none'}). Name each image <hash_id>.<extension>"
    )
reject(rows[~rows["hash_id"].isin(files["hash_id"])], "no image file of this name")
mentioned = pd.concat([rows["hash_id"], *(r["hash_id"] for r in rejected)])
reject(files[~files["hash_id"].isin(mentioned)], "no row in the CSV")
files = files[files["hash_id"].isin(rows["hash_id"])]
reject(files[~files["inside"]], "the file is a link that leaves the folder")
files = files[files["inside"]].drop(columns="inside")


# %% [markdown]
# ## Reading every image
#
# A file counts as usable when it can be decoded to the last pixel, which is the only way to find a truncated download.


# %%
def inspect(path):
    """Width and height (upright), SHA-256 and what is wrong with one image file (missing if nothing is)."""
    file = photos / path
    try:
        image = load_rgb(file)
    except (ValueError, OSError, MemoryError) as error:
        return {"problem": str(error) or type(error).__name__}
    return {"width": image.width, "height": image.height, "sha256": utils.file_digest(file)}


with ThreadPoolExecutor(os.cpu_count()) as pool:
    inspected = list(tqdm(pool.map(inspect, files["path"]), total=len(files), desc="reading images", unit="image"))
columns = ["width", "height", "sha256", "problem"]
files = pd.concat([files.reset_index(drop=True), pd.DataFrame(inspected, columns=columns)], axis=1)

# %%
broken = files["problem"].notna()
reject(files[broken], files["problem"][broken])
files = files[~broken].sort_values(["hash_id", "path"])
copies = files.duplicated(["hash_id", "sha256"])
reject(files[copies], "copy of another file of the same name, which was taken")
files = files[~copies].drop(columns="problem")
ambiguous = files["hash_id"].duplicated(keep=False)
candidates = files[ambiguous].groupby("hash_id")["path"].agg(", ".join).astype("string")
reject(files[ambiguous], "ambiguous: several different files: " + files["hash_id"][ambiguous].map(candidates))

specimens = rows.drop(columns="row").merge(files[~ambiguous], on="hash_id", validate="one_to_one")
specimens = specimens.sort_values("hash_id", ignore_index=True)
if specimens.empty:
    reasons = pd.concat(rejected)["reason"].value_counts().to_dict()
    raise ValueError(f"none of the {len(rows)} rows has a usable image: {reasons}")

# %% [markdown]
# ## Kept, but worth a look
#
# Two ids with byte-identical photographs are both kept: they may be a burst, or one upload under two names. A taxon name
# that stands under two parents is kept apart by its lineage from here on: it is either a misspelling or a true homonym.

# %%
twins = specimens[specimens["sha256"].duplicated(keep=False)]
groups = twins.groupby("sha256")["hash_id"].agg(", ".join).astype("string")
twins = twins.assign(note="identical photographs: " + twins["sha256"].map(groups))


def homonyms(rank):
    """Specimens whose taxon name at `rank` stands under more than one parent lineage, with a note that names them."""
    parent = utils.lineage(specimens, utils.RANKS[utils.RANKS.index(rank) - 1])
    parents = parent.groupby(specimens[rank]).agg(lambda p: " and ".join(sorted(p.dropna().unique())))
    shared = parents[parent.groupby(specimens[rank]).nunique() > 1]
    found = specimens[specimens[rank].isin(shared.index)]
    return found.assign(note=f"{rank} " + found[rank] + " stands under " + found[rank].map(shared).astype("string"))


reported = pd.concat([twins, homonyms("genus"), homonyms("species")])[["hash_id", "path", "note"]]
reported.drop_duplicates("note").head(10)

# %% [markdown]
# ## What we have
#
# Everything found is written now; the counts per rank say how much of the truth is known. A rank without names can be
# clustered but not scored.

# %%
specimens["width"], specimens["height"] = specimens["width"].astype("int32"), specimens["height"].astype("int32")
rejected = pd.concat(rejected, ignore_index=True)
columns = ["hash_id", "path", *utils.RANKS, "width", "height", "sha256"]
if specimens["barcode"].notna().any():
    columns.append("barcode")
utils.write_table(specimens[columns], folder / "metadata.parquet")
utils.write_table(rejected, folder / "rejected.csv")
utils.write_table(reported, folder / "reported.csv")

taxa = pd.DataFrame({rank: utils.lineage(specimens, rank) for rank in utils.RANKS})
pd.DataFrame(
    {
        "taxa": taxa.nunique(),
        "photos with a name": taxa.count(),
        "photos without": taxa.isna().sum(),
        "median photos per taxon": taxa.apply(lambda t: t.value_counts().median()),
    }
)

# %% [markdown]
# Why anything was left out:

# %%
rejected["reason"].str.split(":").str[0].value_counts().rename("rows and files").to_frame()

# %% [markdown]
# ## Families are uneven
#
# A clusterer that makes clusters of equal size would be wrong from the start: a few families hold most photographs.

# %%
sizes = taxa["family"].fillna("(unknown)").value_counts()
genera = taxa.groupby(taxa["family"].fillna("(unknown)"))["genus"].nunique().reindex(sizes.index)
shown = sizes[:25]
figure, ax = plt.subplots(figsize=(8, 0.32 * len(shown) + 1.2))
ax.barh(shown.index[::-1], shown[::-1], color=utils.PALETTE[0])
for y, name in enumerate(shown.index[::-1]):
    text = f" {sizes[name]:,}" + (
        f" in {genera[name]} gen{'us' if genera[name] == 1 else 'era'}" if genera[name] else ""
    )
    ax.text(sizes[name], y, text, va="center", fontsize=9)
ax.set(
    xlabel="photographs", xlim=(0, 1.25 * shown.max()), title=f"{len(specimens):,} photographs of {dataset} by family"
)
if len(sizes) > len(shown):
    ax.set_ylabel(f"the {len(shown)} largest of {len(sizes)} families")
ax.grid(axis="y", visible=False)
utils.save_figure(figure, utils.figures_dir(dataset) / "family_sizes.png")

# %% [markdown]
# ## What the photographs look like
#
# Some photographs of each of the largest families, drawn with a fixed seed. This picture holds photographs, which may not
# be ours to share, so it stays in `data/` and out of the repository.

# %%
drawn = specimens.assign(family=specimens["family"].fillna("(unknown)")).sample(frac=1, random_state=0)
by_family = drawn.groupby("family")["path"]
lines = {name: [photos / path for path in by_family.get_group(name)[:8]] for name in sizes.index[:8]}
figure = utils.contact_sheet(lines, columns=8)
utils.save_figure(figure, folder / "previews" / "families.jpg")
utils.show_photos(figure)

# %% tags=["summary"]
print(
    f"{len(specimens):,} photos of {taxa['family'].nunique()} families, {taxa['genus'].nunique()} genera and "
    f"{taxa['species'].nunique()} species kept, {len(rejected):,} rows or files rejected, {len(reported):,} notes"
)
