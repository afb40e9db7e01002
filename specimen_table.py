"""The table of a folder of specimens (CSV, TSV or FASTA): find and read it, drop marks for missing names, match image files."""

import io
import os
import re
import zlib
from csv import Error as CsvError
from csv import reader as csv_reader
from pathlib import PurePosixPath

import pandas as pd

import barcodes
import listing
import utils

KEPT = ("barcode", "bin", "partition", "country", "latitude", "longitude", "size")  # in the metadata if any row has one
COLUMNS = ["hash_id", *utils.RANKS, *KEPT]
# Names that other sources give to these columns: BOLD's downloads of all versions, and BIOSCAN.
ALIASES = {
    "hash_id": ("processid",),
    "family": ("family_name",),
    "genus": ("genus_name",),
    "species": ("species_name",),
    "barcode": ("nucleotides", "nuc", "dna_barcode"),
    "bin": ("bin_uri", "dna_bin"),
}


def printable(path):
    """A path as text that can be written to any file: bytes that are not UTF-8 are escaped, as in caf\\xe9.jpg."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


def find_table(photos, listed, csv=""):
    """Path of the table that describes the specimens in the folder `photos`; `listed` are the files in it.

    This is the file with the name `csv`. Without a name it is metadata.csv, or the only CSV, or, if there is no CSV, the only
    other table (see listing.TABLES). FileNotFoundError names the tables that were found instead.
    """
    found = [path for path in listed if "/" not in path and path.lower().endswith(listing.TABLES)]
    only = [path for path in found if path.lower().endswith(".csv")] or found
    chosen = csv or ("metadata.csv" if "metadata.csv" in found else only[0] if len(only) == 1 else "")
    if chosen not in found:
        names = ", ".join(map(printable, found))
        remedy = f"choose one of {names} by CSV=<name>" if found else "put one there with a hash_id column"
        raise FileNotFoundError(f"{printable(photos.resolve())} holds no {chosen or 'single CSV'}: {remedy}")
    return photos / chosen


def read_csv(path):
    """Header of a CSV, and its records as (line number in an editor, cells). ValueError if it cannot be read."""

    def parse(separator, strict):
        reader = csv_reader(io.StringIO(text), delimiter=separator, skipinitialspace=True, strict=strict)
        line = 1
        for cells in reader:
            cells = [cell.strip() for cell in cells]
            if any(cells):
                yield line, cells
            line = reader.line_num + 1

    try:
        with barcodes.open_text(path) as stream:
            text = stream.read()
        if "\0" in text:
            raise ValueError("it holds NUL characters, as files in UTF-16 do")
        for separator in ("\t", ";", ","):
            _, header = next(parse(separator, strict=False), (1, []))
            if {"hash_id", *ALIASES["hash_id"]} & set(map(str.lower, header)):
                break
        return header, list(parse(separator, strict=True))[1:]
    except (ValueError, OSError, EOFError, zlib.error, CsvError) as error:  # wrong encoding, no permission, an open quote
        message = f"{printable(path)} cannot be read ({error}): save it as CSV, UTF-8, separated by commas"
        raise ValueError(message) from error


def read_rows(path):
    """The table as a DataFrame of text, and the names of the columns that are not used.

    The DataFrame has COLUMNS (missing where blank or absent), `row` (line number) and `surplus` (whether the row has more cells
    than the header). A column may also have one of its ALIASES. ValueError if there is no hash_id column or a column occurs
    twice.
    """
    if barcodes.is_fasta(path):
        return barcodes.read_fasta(path).reindex(columns=[*COLUMNS, "row"]).astype("string").assign(surplus=False), []
    header, records = read_csv(path)
    names = [name.lower() for name in header]
    for name, aliases in ALIASES.items():
        if name not in names:
            names = [name if alias in aliases else alias for alias in names]
    if "hash_id" not in names:
        raise ValueError(
            f"{printable(path)} has no column 'hash_id' but {', '.join(header) or 'no header'}: rename the column that "
            "holds each photo's file name without extension to hash_id, and separate columns by commas, semicolons or tabs"
        )
    for name in COLUMNS:
        if names.count(name) > 1:
            same = ", ".join(repr(cell) for cell, meant in zip(header, names, strict=True) if meant == name)
            raise ValueError(f"{printable(path)} has several columns for {name} ({same}): rename or remove all but one")
    width = len(header)
    cells = [(cells + [""] * width)[:width] for _, cells in records]
    table = pd.DataFrame(cells, columns=names, dtype="string").replace("", pd.NA)
    unused = [cell or "(no name)" for cell, name in zip(header, names, strict=True) if name not in COLUMNS]
    return table.loc[:, table.columns.isin(COLUMNS)].reindex(columns=COLUMNS).astype("string").assign(
        row=pd.Series([line for line, _ in records], dtype="string"),
        surplus=[any(cells[width:]) for _, cells in records],
    ), unused


MARKS = re.compile(
    r"""[(\[<{#]? ( n/?a | n\.a\.? | n/d | n\.d\.? | nan | null | none | no\ data | (indet | undet | sp | spp)\.?
    | unknown | unidentified | undetermined | unspecified | unclassified | not\ (known | identified | determined | available)
    ) [)\]>}]? | [-–—?._*]+""",
    re.IGNORECASE | re.VERBOSE,
)


def drop_marks(rows):
    """Rows with marks for a missing name replaced by missing values (except in hash_id), and the count of each mark."""
    named = rows[COLUMNS[1:]]
    marked = named.apply(lambda column: column.str.fullmatch(MARKS).fillna(False).astype(bool))
    return rows.assign(**named.mask(marked)), named.where(marked).stack().value_counts()


def match_files(photos, paths):
    """Image files by their `paths` below the folder `photos`: DataFrame with hash_id (stem), path, and inside.

    `inside` is false for a link that leads out of the folder.
    """
    root = os.path.realpath(photos)
    inside = [os.path.realpath(os.path.join(root, path)).startswith(f"{root.rstrip('/')}/") for path in paths]
    stems = [PurePosixPath(path).stem.strip() for path in paths]
    columns = {"hash_id": pd.Series(stems, dtype="string"), "path": pd.Series(paths, dtype="string")}
    return pd.DataFrame(columns | {"inside": pd.Series(inside, dtype=bool)})


def why_unmatched(ids, paths):
    """The reason, for each of `ids` (Series), why none of the image files `paths` belongs to it."""
    names = {PurePosixPath(path).name for path in paths}
    reason = "no image file of this name"
    return ids.map(lambda name: f"{reason}: leave the extension out of hash_id" if name in names else reason)
