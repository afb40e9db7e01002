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
# **The question.** Which photographs do we have, which organism does each of them show, and which ones cannot be used?
#
# **In:** a folder with images at any depth and, if there is one, a CSV with `hash_id` and, where known, `family`, `genus`,
# `species`, the DNA `barcode` and its `bin`. A file belongs to the row whose `hash_id` is the file name without extension. A
# folder without images is a dataset of barcodes: one CSV, TSV or FASTA file, which may be compressed by gzip.
#
# **Out:**
#
# - `metadata.parquet`: one row per usable specimen
# - `rejected.csv`: every row and file that is left out, with the reason
# - `reported.csv`: rows that are kept and should be checked (identical photographs or barcodes, one taxon name with two
#   parents)
# - `photos.seen`: a digest of file names, sizes and dates, from which Make notices new photographs

# %% tags=["parameters"]
dataset = "demo"
source = ""  # folder with the photographs and the CSV; empty: the folder of the last run
csv = ""  # name of the table in this folder; empty: metadata.csv, or the only CSV, or the only TSV or FASTA file
labels = ""  # "folders": no table is read, and folders are families, genera and species (data/README.md)

# %% jupyter={"source_hidden": true}
import hashlib
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, "..")
import matplotlib.pyplot as plt
import pandas as pd
from tqdm import tqdm

import archives
import barcodes
import listing
import plotting
import utils
from images import load_rgb, open_file
from specimen_table import COLUMNS, KEPT, drop_marks, match_files, printable, read_table, why_unmatched

plotting.set_style()
folder = utils.dataset_dir(dataset)

# %% [markdown]
# ## The folder
#
# The photographs stay where they are. `data/<dataset>/photos` becomes a link to their folder, so later chapters use paths
# that do not depend on the machine. The photographs may also lie in `data/<dataset>` itself. Files that the chapters write
# there do not count as photographs. If there are tar or zip files and no images beside them, the images in these files are the
# photographs.

# %% jupyter={"source_hidden": true}
photos = folder / "photos"
if source:
    origin = Path(os.path.realpath(utils.ROOT / Path(source).expanduser()))
    if not origin.is_dir():
        raise NotADirectoryError(f"SOURCE={source} is not a folder (looked for {origin})")
    linked = photos.is_symlink() or not photos.exists()
    if not linked and origin == folder.resolve():  # use photos/ if all photographs of data/<dataset> lie there
        found = [path for path, _ in listing.images_below(origin) if path.lower().endswith(listing.IMAGES)]
        origin = photos if all(path.startswith("photos/") for path in found) else origin
    if origin != photos and str(origin) != os.path.realpath(photos):
        if not linked:
            raise FileExistsError(f"data/{dataset}/photos holds photographs already: move them, or leave SOURCE out")
        folder.mkdir(parents=True, exist_ok=True)
        photos.unlink(missing_ok=True)
        photos.symlink_to(origin)
if not photos.is_dir():
    raise FileNotFoundError(
        f"data/{dataset}/photos is missing: name the folder, make all DATASET={dataset} SOURCE=<folder>"
    )
seen = listing.digest(photos)  # computed first, so that the next run notices a file that changes during this one
listed = [path for path, _ in listing.images_below(photos)]
pictures = (*listing.IMAGES, *listing.UNSUPPORTED)
if not any(path.lower().endswith(pictures) for path in listed):
    packed = [path for path in listed if path.lower().endswith(listing.ARCHIVES)]
    listed += [f"{path}/{name}" for path in packed for name in archives.names(photos / path)]

# %% [markdown]
# ## The table
#
# Column names may be in upper or lower case. Commas, semicolons or tabs separate the cells. Spaces around names are removed.
# A blank cell means *unknown*, and so do the usual marks such as `NA` or `?`. Several rows with one `hash_id` are kept once
# if they agree. If they disagree, all of them are rejected, because the correct row is unknown. The names that BOLD and BIOSCAN
# give to these columns are understood, too, such as `processid` for `hash_id` and `nucleotides` for `barcode`.
#
# A table without `hash_id` may have a column of file names instead. Without any table every image is a specimen without names;
# with `labels = "folders"`, its folders are the names of its family, genus and species.

# %%
unwritable = {path for path in listed if path.encode("utf-8", "ignore").decode() != path}
table = read_table(photos, [path for path in listed if path not in unwritable], csv, labels)
n_rows = len(table.rows)
rows, marks = drop_marks(table.rows)
notes = [*table.notes]
if len(marks):
    notes.append(f"taken for missing: {', '.join(f'{mark} ({count:,} times)' for mark, count in marks.items())}")
print("\n".join(notes) or "Every column is used, and no mark for a missing name was found.")

# %%
rejected = []


def reject(table, reason):
    """Record the rows of `table` (hash_id and, if present, path) as rejected. `reason` is one text, or one per row."""
    rejected.append(table.reindex(columns=["hash_id", "path"]).assign(reason=reason))


surplus = rows.pop("surplus")
reject(rows[surplus], "too many cells: row " + rows["row"][surplus] + " has more than the header (is a quote missing?)")
rows = rows[~surplus]
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
# ## The barcodes
#
# Gaps are removed, as are undetermined letters at both ends. A barcode cannot be used if it holds letters that stand for no
# base, too few determined bases, or mostly undetermined ones. A photograph without its barcode is still a photograph, and is
# kept with a note. In a dataset of barcodes such a row is rejected. A few barcodes may come from the other strand. Their
# words of six letters are those of the others read backwards, in complementary bases, so they are recognised and turned.

# %%
images = [path for path in listed if path.lower().endswith(pictures)]
cleaned = barcodes.clean(rows["barcode"])
remarks = [rows[["hash_id"]].assign(note="reverse complement of what the other barcodes are: turned")[cleaned["turned"]]]
bad = cleaned["problem"].notna()
if images or rows["barcode"].isna().all():
    remarks.append(rows[["hash_id"]].assign(note=cleaned["problem"] + ": not used")[bad])
else:
    bad |= rows["barcode"].isna()
    reject(rows[bad], cleaned["problem"][bad].fillna("no barcode"))
    rows, cleaned = rows[~bad], cleaned[~bad]
rows = rows.assign(barcode=cleaned["barcode"])
counts = {"usable": cleaned["barcode"].count(), "gaps removed": cleaned["gaps"].sum(), "turned": cleaned["turned"].sum()}
pd.Series(counts | {"not usable": bad.sum()}, name="barcodes").to_frame()

# %% [markdown]
# ## The files
#
# Every image below the folder is matched to the row whose `hash_id` is its file name without extension. Links that leave
# the folder are not followed. Different files with one name are ambiguous and rejected. Of identical files the first is kept.

# %%
only_barcodes = not images and rows["barcode"].notna().any()
files = match_files(photos, table.ids)
nameless = sorted(printable(path) for path in unwritable.intersection(images))
reject(
    pd.DataFrame({"hash_id": pd.NA, "path": nameless}, dtype="string"),
    "the file's name is not UTF-8: rename it",
)
if not only_barcodes and not files["hash_id"].isin(rows["hash_id"]).any():
    raise ValueError(
        f"no image below {photos.resolve()} is named after a hash_id in {table.named}: there are {len(files)} images "
        f"(such as {' '.join(', '.join(files['path'][:3]).split()) or 'none'}) and {len(rows)} usable rows (such as "
        f"{' '.join(', '.join(rows['hash_id'][:3]).split()) or 'none'}). Name each image <hash_id>.<extension>"
    )
if only_barcodes:
    files = rows[["hash_id"]].assign(path=pd.NA, inside=True)
unmatched = rows[~rows["hash_id"].isin(files["hash_id"])]
reject(unmatched, why_unmatched(unmatched["hash_id"], files["path"].dropna()))
mentioned = pd.concat([rows["hash_id"], *(r["hash_id"] for r in rejected)])
reject(files[~files["hash_id"].isin(mentioned)], "no row in the CSV")
files = files[files["hash_id"].isin(rows["hash_id"])]
reject(files[~files["inside"]], "the file is a link that leaves the folder")
files = files[files["inside"]].drop(columns="inside")


# %% [markdown]
# ## Reading every image
#
# An image is usable if all of its pixels can be decoded. Only a full decode finds a truncated download. Where there are only
# barcodes, the digest is that of the barcode.


# %%
def inspect(path):
    """{width, height, sha256} of one image file, with the size after EXIF rotation, or {problem} if it is not usable."""
    file = photos / path
    try:
        image = load_rgb(file)
        with open_file(file) as stream:
            return {"width": image.width, "height": image.height, "sha256": hashlib.file_digest(stream, "sha256").hexdigest()}
    except (ValueError, OSError, MemoryError) as error:
        return {"problem": str(error) or type(error).__name__}


if only_barcodes:
    inspected = [{"sha256": hashlib.sha256(barcode.encode()).hexdigest()} for barcode in rows["barcode"]]
else:
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
named = files["hash_id"][ambiguous].map(candidates).astype("string")
reject(files[ambiguous], "ambiguous: several different files: " + named)

specimens = rows.drop(columns="row").merge(files[~ambiguous], on="hash_id", validate="one_to_one")
specimens = specimens.sort_values("hash_id", ignore_index=True)
if specimens.empty:
    reasons = pd.concat(rejected)["reason"].value_counts().to_dict()
    raise ValueError(f"none of the {n_rows} rows has a usable {'barcode' if only_barcodes else 'image'}: {reasons}")

# %% [markdown]
# ## Kept, but to be checked
#
# Two ids with identical files are both kept. They may be one upload under two names. A taxon name with two parents may be a
# misspelling or a true homonym. From here on, a taxon is identified by its lineage, so the two taxa stay separate. Identical
# barcodes are common within a species, and reported where names differ or one is missing. Under two species names they are an
# error in one of the names, or two species that a barcode cannot tell apart; so is a BIN that holds several species. The table
# shows the first notes.

# %%
twins = specimens[specimens["sha256"].duplicated(keep=False) & (not only_barcodes)]
groups = twins.groupby("sha256")["hash_id"].agg(", ".join).astype("string")
twins = twins.assign(note="identical photographs: " + twins["sha256"].map(groups).astype("string"))


def homonyms(rank):
    """Specimens whose taxon name at `rank` has more than one parent lineage, with a note that names the parents."""
    parent = utils.lineage(specimens, utils.RANKS[utils.RANKS.index(rank) - 1])
    parents = parent.groupby(specimens[rank]).agg(lambda p: " and ".join(sorted(p.dropna().unique())))
    shared = parents[parent.groupby(specimens[rank]).nunique() > 1]
    found = specimens[specimens[rank].isin(shared.index)]
    return found.assign(note=f"{rank} " + found[rank] + " stands under " + found[rank].map(shared).astype("string"))


kept = specimens.set_index("hash_id")["path"]
remarks = pd.concat([*remarks, barcodes.notes(specimens, utils.lineage(specimens, "species"))])
remarks = remarks[remarks["hash_id"].isin(kept.index)].assign(path=lambda table: table["hash_id"].map(kept))
reported = pd.concat([twins, homonyms("genus"), homonyms("species"), remarks])[["hash_id", "path", "note"]]
reported.drop_duplicates("note").head(10)

# %% [markdown]
# ## What we have
#
# The tables are written here. The counts show how many photographs have a taxon name at each rank. A rank without names can
# be clustered but not scored.

# %%
whole = "Int32" if only_barcodes else "int32"  # the former may be missing
specimens = specimens.astype({"path": "string", "width": whole, "height": whole})
rejected = pd.concat(rejected, ignore_index=True)
columns = ["hash_id", "path", *utils.RANKS, "width", "height", "sha256"]
columns += [name for name in KEPT if specimens[name].notna().any()]
things = "barcodes" if only_barcodes else "photographs"
utils.write_table(rejected, folder / "rejected.csv")
utils.write_table(reported, folder / "reported.csv")
utils.write_table(specimens[columns], folder / "metadata.parquet")

taxa = pd.DataFrame({rank: utils.lineage(specimens, rank) for rank in utils.RANKS})
pd.DataFrame(
    {
        "taxa": taxa.nunique(),
        f"{things} with a name": taxa.count(),
        f"{things} without": taxa.isna().sum(),
        f"median {things} per taxon": taxa.apply(lambda t: t.value_counts().median()),
    }
)

# %% [markdown]
# Reasons for which rows and files were rejected:

# %%
rejected["reason"].str.split(":").str[0].value_counts().rename("rows and files").to_frame()

# %% [markdown]
# ## Family sizes
#
# Families usually differ in size. A clusterer that prefers clusters of equal size, such as k-means, does not suit such
# data.

# %% jupyter={"source_hidden": true}
known = specimens["family"].value_counts()
family = specimens["family"].fillna("(unknown)")
sizes = family.value_counts()
genera = taxa["genus"].groupby(family).nunique()
shown = sizes[24::-1]
message = f"the largest family holds {known.max() / len(specimens):.0%} of them" if len(known) else "no family is known"
figure, ax = plt.subplots(figsize=(8, 0.32 * len(shown) + 1.2))
ax.barh(range(len(shown)), shown, color=plotting.PALETTE[0])
for y, (name, size) in enumerate(shown.items()):
    text = f" {size:,}" + (f" in {genera[name]} gen{'us' if genera[name] == 1 else 'era'}" if genera[name] else "")
    ax.text(size, y, text, va="center", fontsize=9)
ax.set(
    yticks=range(len(shown)),
    yticklabels=map(plotting.plain, shown.index),
    xlabel=things,
    xlim=(0, 1.25 * shown.max()),
    title=f"{len(specimens):,} {things} of {plotting.dataset_name(dataset)}: {message}",
)
if len(sizes) > len(shown):
    ax.set_ylabel(f"the {len(shown)} largest of {len(sizes)} families")
ax.grid(axis="y", visible=False)
plotting.save_figure(figure, utils.figures_dir(dataset) / "family_sizes.png")

# %% [markdown]
# ## What the photographs look like
#
# The figure shows random photographs of the largest families. It stays in `data/` and out of the repository, because not
# all photographs may be shared.

# %%
drawn = specimens.assign(family=family).sample(frac=1, random_state=0)
by_family = drawn.groupby("family")["path"]
if not only_barcodes:
    lines = {name: [photos / path for path in by_family.get_group(name)[:8]] for name in sizes.index[:8]}
    figure = plotting.contact_sheet(lines, columns=8)
    plotting.save_figure(figure, folder / "previews" / "families.jpg")
    plotting.show_photos(figure)

# %% [markdown]
# ## Digest of the folder
#
# The digest is written last. It exists only if everything else is complete.

# %%
with utils.atomic_write(folder / "photos.seen") as temporary:
    temporary.write_text(f"{seen}\n")

# %% [markdown]
# ## What we learned

# %%
named = taxa.notna().mean()
sentences = [
    f"Of {n_rows:,} rows of the table, {len(specimens):,} ({len(specimens) / n_rows:.0%}) have a usable {things[:-1]}; "
    f"{len(rejected):,} rows or files were rejected."
]
sentences.append(
    f"A family name is known for {named['family']:.0%} of the {things}, a genus name for {named['genus']:.0%} and a species "
    f"name for {named['species']:.0%}."
)
if taxa["species"].nunique() > 1:
    each = taxa["species"].value_counts()
    sentences.append(f"Half of the {len(each):,} species have {each.median():.0f} {things} or fewer.")
else:
    sentences.append("Fewer than two species have a name, so clusters of species cannot be scored.")
if len(known) > 1:
    ratio = known.max() / known.median()
    sentences.append(f"The largest of {len(known):,} families has {ratio:.1f} times the {things} of a median family.")
plotting.say(*sentences)

# %% tags=["summary"]
n_families, n_genera = taxa["family"].nunique(), taxa["genus"].nunique()
print(
    f"{len(specimens):,} {things} of {n_families} famil{'y' if n_families == 1 else 'ies'}, "
    f"{n_genera} gen{'us' if n_genera == 1 else 'era'} and {taxa['species'].nunique()} species kept, "
    f"{len(rejected):,} rows or files rejected, {len(reported):,} notes",
    *notes,
    sep="; ",
)
