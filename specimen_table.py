"""The table of a folder of specimens: from a CSV, TSV or FASTA file, or from the names of files and folders."""

import io
import os
import re
import zlib
from collections import Counter
from csv import Error as CsvError
from csv import reader as csv_reader
from pathlib import PurePosixPath
from typing import NamedTuple

import pandas as pd

import barcodes
import listing
import utils

KEPT = ("barcode", "bin", "partition", "country", "latitude", "longitude", "size")  # in the metadata if any row has one
COLUMNS = ["hash_id", *utils.RANKS, *KEPT]
REVIEW = ["hash_id", "cluster", "decision", "duplicate_of"]  # the first columns of a review.csv, which describes no photographs
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


class SpecimenTable(NamedTuple):
    """What is known of the photographs in a folder before any of them is opened.

    rows: DataFrame of text with COLUMNS (missing where blank or absent), `row` (line number) and `surplus` (whether the row has
        more cells than the header)
    ids: {path: hash_id} of the image files
    named: where the rows come from, for messages
    notes: sentences on how the rows were read
    """

    rows: pd.DataFrame
    ids: dict
    named: str
    notes: list


def read_table(photos, listed, csv="", labels=""):
    """The SpecimenTable of the folder `photos`, in which the files `listed` are.

    The table has ids or a column of file names (see `find_table` and `read_rows`). Without any, every image is a specimen
    without names. With `labels` "folders" no table is read, and the folders are the names of taxa (`rows_of_folders`).
    """
    images = [path for path in listed if path.lower().endswith((*listing.IMAGES, *listing.UNSUPPORTED))]
    path = None if labels else find_table(photos, listed, csv)
    if path is None:
        return _table_of_files(images, labels)
    rows, unused, column = read_rows(path, images)
    ids = {image: _stem(image) for image in images} if column is None else file_ids(images)
    notes = []
    if column is not None:
        notes.append(f"{printable(path.name)} has no column hash_id: its column {column} holds the names of the image files")
    if unused:
        notes.append(f"columns of {printable(path.name)} not used: {', '.join(dict.fromkeys(unused))}")
    return SpecimenTable(rows, ids, path.name, notes)


def _table_of_files(images, labels):
    """The SpecimenTable of `images` that no CSV describes; with `labels`, their folders are the names of taxa."""
    ids = file_ids(images)
    first = {}
    for path in images:
        first.setdefault(ids[path], path)
    rows = rows_of_folders(first) if labels else pd.DataFrame({"hash_id": list(first)})
    rows = rows.reindex(columns=COLUMNS).astype("string").assign(row=pd.Series(pd.NA, rows.index, "string"), surplus=False)
    if not labels:
        notes = ["there is no CSV: ids are file names, and no taxon has a name (LABELS=folders takes folders for taxa)"]
        return SpecimenTable(rows, ids, "the folder", notes)
    levels = [f"{rank} ({rows[rank].nunique():,})" for rank in utils.RANKS if rows[rank].notna().any()]
    notes = [f"folders are taken for taxa: {', '.join(levels) or 'but no photograph lies in one'}"]
    return SpecimenTable(rows, ids, "the folder", notes)


def _stem(path):
    return PurePosixPath(path).stem.strip()


def file_ids(images):
    """{path: id}: the file name without its extension, or with its folders where another folder has a file of this name."""
    folders = Counter(stem for _, stem in {(str(PurePosixPath(path).parent), _stem(path)) for path in images})
    ids = {}
    for path in images:
        stem, parent = _stem(path), PurePosixPath(path).parent
        ids[path] = stem if folders[stem] == 1 else (parent / stem).as_posix()
    return ids


def rows_of_folders(paths):
    """Names of taxa from folders: DataFrame of hash_id and RANKS, for `paths` ({hash_id: path}).

    The first level of folders is the family, the second the genus, the third the species, and deeper ones are not names. But
    if the names of a level look like those of species, in two words, this level is the species. Those above it are the genus
    and the family. A single one above is the genus if it is the first word of its species, and the family otherwise; then the
    first word is the genus. Archives are not names.
    """
    above = (PurePosixPath(path).parent.parts for path in paths.values())
    parts = [[name for name in names if not name.lower().endswith(listing.ARCHIVES)] for names in above]
    level = next((n for n in range(max(map(len, parts), default=0)) if _are_species(f[n] for f in parts if len(f) > n)), 2)
    below = {(folders[0], folders[1]) for folders in parts if level == 1 and len(folders) > 1}
    genus_above = sum(one == _first_word(species) for one, species in below) > len(below) / 2
    records = []
    for i, folders in zip(paths, parts, strict=True):
        family, genus, species = (folders[n] if 0 <= n < len(folders) else pd.NA for n in (level - 2, level - 1, level))
        if level < 2 and not genus_above:
            family, genus = genus, _first_word(species) if pd.notna(species) else pd.NA
        records.append((i, family, genus, species))
    return pd.DataFrame(records, columns=["hash_id", *utils.RANKS])


BINOMIAL = re.compile(r"(?P<genus>[A-Z][a-z-]*)[ _](x[ _]|× ?)?[a-z][a-z0-9.-]*([ _].*)?")  # Agrotis segetum, Agrotis sp.


def _are_species(names):
    """Whether nearly all names look like those of species."""
    names = set(names)
    return sum(bool(BINOMIAL.fullmatch(name)) for name in names) >= 0.9 * len(names)


def _first_word(species):
    """The genus in the name of a species; None if it does not look like one."""
    found = BINOMIAL.fullmatch(species)
    return found["genus"] if found else None


def find_table(photos, listed, csv=""):
    """Path of the table that describes the specimens in the folder `photos`; `listed` are the files in it.

    This is the file with the name `csv`. Without a name it is metadata.csv, or the only CSV, or, if there is no CSV, the only
    other table (see listing.TABLES), or None if there is none; a review that was saved beside the photographs does not count.
    FileNotFoundError names the tables that were found instead.
    """
    found = [path for path in listed if "/" not in path and path.lower().endswith(listing.TABLES)]
    found = [path for path in found if path == csv or not _is_review(photos / path)]
    if not csv and not found:
        return None
    only = [path for path in found if path.lower().endswith(".csv")] or found
    chosen = csv or ("metadata.csv" if "metadata.csv" in found else only[0] if len(only) == 1 else "")
    if chosen not in found:
        names = ", ".join(map(printable, found))
        remedy = f"choose one of {names} by CSV=<name>" if found else "put it there"
        raise FileNotFoundError(f"{printable(photos.resolve())} holds no {chosen or 'single CSV'}: {remedy}")
    if not _inside(photos, [chosen])[0]:
        raise ValueError(f"{printable(photos / chosen)} is a link out of the folder: put the table itself there")
    return photos / chosen


def _is_review(path):
    try:
        with path.open(encoding="utf-8-sig") as stream:
            return stream.readline().startswith(",".join(REVIEW))
    except (OSError, ValueError):
        return False


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
        if mark := re.match(r"sep=.(?=[\r\n])", text, re.IGNORECASE):  # from Excel; the empty line keeps the line numbers
            text = text[mark.end() :]
        headers = {separator: next(parse(separator, strict=False), (1, []))[1] for separator in ("\t", ";", ",")}
        ids = {"hash_id", *ALIASES["hash_id"]}
        with_ids = [separator for separator, header in headers.items() if ids & set(map(str.lower, header))]
        separator = with_ids[0] if with_ids else max(reversed(headers), key=lambda one: len(headers[one]))
        header = headers[separator]
        return header, list(parse(separator, strict=True))[1:]
    except (ValueError, OSError, EOFError, zlib.error, CsvError) as error:  # wrong encoding, no permission, an open quote
        message = f"{printable(path)} cannot be read ({error}): save it as CSV, UTF-8, separated by commas"
        raise ValueError(message) from error


def read_rows(path, images=()):
    """The table as a DataFrame of text, the names of the columns that are not used, and the column of file names.

    The DataFrame is the `rows` of a SpecimenTable. A column may also have one of its ALIASES. A table with a hash_id column
    needs no file names (None). In any other the column is used in which at least half of the cells name one of the `images`
    below the folder, with or without folders and extension; `hash_id` is then the image's id (`file_ids`). ValueError if there
    is neither or a column occurs twice.
    """
    if barcodes.is_fasta(path):
        return barcodes.read_fasta(path).reindex(columns=[*COLUMNS, "row"]).astype("string").assign(surplus=False), [], None
    header, records = read_csv(path)
    if header and not records:
        raise ValueError(f"{printable(path)} has a header and no rows: it describes no specimen")
    names = [name.lower() for name in header]
    for name, aliases in ALIASES.items():
        if name not in names:
            names = [name if alias in aliases else alias for alias in names]
    for name in COLUMNS:
        if names.count(name) > 1:
            same = ", ".join(repr(cell) for cell, meant in zip(header, names, strict=True) if meant == name)
            raise ValueError(f"{printable(path)} has several columns for {name} ({same}): rename or remove all but one")
    width = len(header)
    cells = [(cells + [""] * width)[:width] for _, cells in records]
    column = None
    if "hash_id" not in names:
        place, ids = _file_column(cells, width, images)
        if place is None:
            raise ValueError(
                f"{printable(path)} has no column 'hash_id' but {', '.join(header) or 'no header'}, and none of them holds "
                "names of image files: name the column that holds each photo's file name hash_id, and separate columns by "
                "commas, semicolons or tabs"
            )
        column = header[place] or "(no name)"
        names[place] = "hash_id"
        cells = [[*row[:place], name, *row[place + 1 :]] for row, name in zip(cells, ids, strict=True)]
    table = pd.DataFrame(cells, columns=names, dtype="string").replace("", pd.NA)
    unused = [cell or "(no name)" for cell, name in zip(header, names, strict=True) if name not in COLUMNS]
    return table.loc[:, table.columns.isin(COLUMNS)].reindex(columns=COLUMNS).astype("string").assign(
        row=pd.Series([line for line, _ in records], dtype="string"),
        surplus=[any(cells[width:]) for _, cells in records],
    ), unused, column


def _file_column(cells, width, images):
    """Place of the column of `cells` that names most `images`, and the id of the image that each of its cells names.

    A cell that names no image is its own id. None and an empty list if no column names images in half of its cells.
    """
    ids = file_ids(images)
    known = {}  # an image by its path below the folder, by its name, and by both without the extension
    for path in images:
        for key in (path, PurePosixPath(path).name, PurePosixPath(path).with_suffix("").as_posix(), _stem(path)):
            known.setdefault(key, set()).add(ids[path])

    def identify(cell):
        plain = PurePosixPath(cell.replace("\\", "/")).as_posix()
        for key in (plain, PurePosixPath(plain).name):
            if len(known.get(key, ())) == 1:
                return next(iter(known[key]))
        return None

    best, chosen = 0, None
    for place in range(width):
        filled = [row[place] for row in cells if row[place]]
        found = sum(identify(cell) is not None for cell in filled)
        if found > best and 2 * found >= len(filled):
            best, chosen = found, place
    return chosen, [] if chosen is None else [identify(row[chosen]) or row[chosen] for row in cells]


MARKS = re.compile(
    r"""[(\[<{#]? ( n/?a | n\.a\.? | n/d | n\.d\.? | nan | null | none | no\ data | (indet | undet | sp | spp)\.?
    | unknown | unidentified | undetermined | unspecified | unclassified | not\ (known | identified | determined | available)
    ) [)\]>}]? | [-–—?._*]+""",
    re.IGNORECASE | re.VERBOSE,
)


UNDETERMINED = re.compile(r"[^\W\d]+[\s_]+(indet|undet|sp|spp)\.?", re.IGNORECASE)  # not "Agrotis sp. 2", which is one species


def drop_marks(rows):
    """Rows with marks for a missing name replaced by missing values (except in hash_id), and the count of each mark."""
    named = rows[COLUMNS[1:]]
    marked = named.apply(lambda column: column.str.fullmatch(MARKS).fillna(False).astype(bool))
    marked["species"] |= named["species"].str.fullmatch(UNDETERMINED).fillna(False).astype(bool)
    return rows.assign(**named.mask(marked)), named.where(marked).stack().value_counts()


def match_files(photos, ids):
    """Image files {path below the folder `photos`: hash_id} as a DataFrame with hash_id, path, and inside.

    `inside` is false for a link that leads out of the folder.
    """
    columns = {"hash_id": pd.Series(list(ids.values()), dtype="string"), "path": pd.Series(list(ids), dtype="string")}
    return pd.DataFrame(columns | {"inside": pd.Series(_inside(photos, ids), dtype=bool)})


def _inside(photos, paths):
    """Whether each of the `paths` below the folder `photos` leads to a file in it: links may lead out."""
    root = os.path.realpath(photos)
    return [os.path.realpath(os.path.join(root, path)).startswith(f"{root.rstrip('/')}/") for path in paths]


def why_unmatched(ids, paths):
    """The reason, for each of `ids` (Series), why none of the image files `paths` belongs to it."""
    names = {PurePosixPath(path).name for path in paths}
    reason = "no image file of this name"
    return ids.map(lambda name: f"{reason}: leave the extension out of hash_id" if name in names else reason)
