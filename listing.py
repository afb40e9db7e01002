"""The photographs in a folder, and which files in data/<dataset>/ were written by chapters.

Standard library only: the plan of make lists the photographs at every call.
"""

import hashlib
import os
import re
import stat
from pathlib import Path

from files import final_name

ROOT = Path(__file__).resolve().parent
IMAGES = (".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".tif", ".tiff", ".webp", ".bmp")
UNSUPPORTED = (  # listed to be rejected with the reason, and not overlooked
    ".gif", ".heic", ".heif", ".avif", ".jp2", ".arw", ".cr2", ".cr3", ".dng", ".nef", ".orf", ".raf", ".rw2",
)  # fmt: skip
ARCHIVES = (".tar", ".zip", ".bucket")  # read only where there are no images beside them; the last: see archives.py
FASTA = (".fasta", ".fas", ".fa", ".fna")
TABLES = tuple(f"{kind}{packed}" for kind in (".csv", ".tsv", *FASTA) for packed in ("", ".gz"))  # what may describe specimens
UNKNOWN = os.stat_result((0,) * 10)  # of a file whose size and date may not be read

# Files in data/<dataset>/ itself, with the number of the chapter that writes them.
RESULTS = {
    "truth.parquet": "00", "tree.nwk": "00",
    "metadata.parquet": "01", "rejected.csv": "01", "reported.csv": "01", "photos.seen": "01",
    "scores.csv": "06", "comparisons.csv": "06", "submission.csv": "06", "barcode_scores.csv": "07", "referee.csv": "22",
    "choosing.csv": "10", "robustness.csv": "11", "taxa.csv": "12", "confused.csv": "12", "k_rules.csv": "13",
    "stress.csv": "15", "trust.csv": "16", "reviewed.csv": "21", "review_rejected.csv": "21",
    "report.html": "23", "trees.csv": "24", "map_quality.csv": "25",
    "heatmaps.csv": "26", "probes.csv": "27",
}  # fmt: skip
# Folders in data/<dataset>/, and the files that chapters write there.
PLACES = ("embeddings", "models", "maps", "clusters", "previews", "atlas", "runs", "sweeps", "recoverability", "bench")
MADE = re.compile(
    r"""
    embeddings/[^/]+/(part-\d+\.parquet|_SUCCESS|prepared-[^/]+-[0-9a-f]{16}\.npy)
    | maps/[^/]+/[^/]+\.parquet
    | clusters/[^/]+/[^/]+/seed=\d+\.parquet
    | previews/(families\.jpg | clusters/(index\.csv|page-\d+\.jpg) | thumbnails/[0-9a-f]{2}/[0-9a-f]{64}\.webp)
    | previews/trees/page-\d+\.png | previews/heat_on_photographs\.jpg
    | atlas/[^/]+\.html | atlas/[^/]+\.page-\d+\.js
    | runs/\d\d_[^/]+\.ipynb
    | sweeps/(?P<sweep>[^/]+)/((?P=sweep)(__[^/]+)?(-scores)?\.(yaml|ipynb)|summary\.csv|encoders\.txt)
    | recoverability/(default|[^/]+__[^/]+)\.csv | bench/(extraction|clustering)\.csv
    """,
    re.VERBOSE,
)


def made_by_chapters(place, names):
    """The subset of the file `names` in a folder `place` ("" or "maps/pixels", below data/<dataset>) that chapters write.

    A file in models/ counts if its model has a .made_from or .checkpoint file there, which only chapter 03 writes.
    """
    if place == "models":
        models = [name.rpartition(".")[0] for name in names if name.endswith((".made_from", ".checkpoint"))]
        theirs = tuple(f"{model}{mark}" for model in models for mark in "._")
        return {name for name in names if theirs and final_name(name).startswith(theirs)}
    if not place:
        return {name for name in names if final_name(name) in RESULTS}
    return {name for name in names if MADE.fullmatch(f"{place}/{final_name(name)}")}


def datasets():
    """{real path: name} of every folder in data/."""
    try:
        with os.scandir(ROOT / "data") as entries:
            return {os.path.realpath(entry.path): entry.name for entry in entries if entry.is_dir()}
    except OSError:
        return {}


def images_below(folder):
    """All images, archives, tables and FASTA files below a folder, as a sorted list of (relative path, os.stat_result).

    Images of unsupported formats are listed, too. Hidden files and folders, and files that chapters wrote to
    data/<dataset>/ and figures/, are left out. Links to folders are not followed. A broken link is listed with its own size
    and date, an unreadable file without. A `folder` that is missing or unreadable counts as empty; OSError names a folder in it
    that cannot be read.
    """
    root = os.path.realpath(folder)
    own = datasets()
    inside = next((path for path in own if f"{root}/".startswith(f"{path}/")), None)
    place = None if inside is None else root[len(inside) + 1 :]
    found, pending = [], [(root, "", place)]
    while pending:
        path, below, place = pending.pop()
        try:
            with os.scandir(path) as entries:
                entries = [entry for entry in entries if not entry.name.startswith(".")]
        except OSError:
            if below:  # its photographs would be missing without a word
                raise
            continue
        made = () if place is None else made_by_chapters(place, [entry.name for entry in entries])
        for entry in entries:
            name = entry.name
            if _is_folder(entry):
                inner = f"{path.rstrip('/')}/{name}"
                if inner in own:
                    pending.append((inner, f"{below}{name}/", ""))
                elif inner != str(ROOT / "figures"):
                    deeper = None if place is None else f"{place}/{name}".lstrip("/")
                    pending.append((inner, f"{below}{name}/", deeper))
            elif name.lower().endswith((*IMAGES, *UNSUPPORTED, *ARCHIVES, *TABLES)) and name not in made:
                status = _status(entry)
                if status is not None:
                    found.append((f"{below}{name}", status))
    return sorted(found, key=lambda item: item[0])


def _is_folder(entry):
    try:
        return entry.is_dir(follow_symlinks=False)
    except OSError:
        return False


def _status(entry):
    """Size and date of a file or of the target of a link; None for a folder, a pipe or a device."""
    for follow in (True, False):
        try:
            status = entry.stat(follow_symlinks=follow)
        except OSError:
            continue
        return status if stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode) else None
    return UNKNOWN


def digest(folder):
    """SHA-256, in hexadecimal, of relative path, size and date of every file of `images_below` a folder."""
    total = hashlib.sha256()
    for path, status in images_below(folder):
        total.update(os.fsencode(path) + f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
    return total.hexdigest()
