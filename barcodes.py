"""DNA barcodes as they come: read FASTA files, clean and check sequences, find reverse complements and conflicting names.

Nothing here is specific to a gene. A sequence is text of IUPAC letters; `CODE` turns its letters into numbers.
"""

import gzip
import re
import zlib
from contextlib import contextmanager

import numpy as np
import pandas as pd

from listing import FASTA

BASES = "ACGT"
LETTERS = f"{BASES}RYSWKMBDHVN"  # of IUPAC; all but the first four stand for several bases
MIN_BASES = 50  # A, C, G or T in a barcode: fewer say too little
MIN_KNOWN = 0.5  # share of letters that are A, C, G or T
MAX_LETTERS = 5000  # more than any barcode has: perhaps a genome
OTHER_LENGTH = 1.5  # factor by which a length may differ from the median before it is reported
STRAND_K = 6  # letters of the words that tell the strands apart
STRAND_EVIDENCE = 20.0  # nats that must speak for the other strand
COMPLEMENT = str.maketrans("ACGTRYSWKMBDHVN", "TGCAYRSWMKVHDBN")
CODE = np.full(256, 4, np.uint8)  # of a letter: 0 to 3 for A, C, G, T, and 4 for everything else
CODE[list(BASES.encode())] = range(4)


# -------------------------------------------------------------------------------------------------------- reading


@contextmanager
def open_text(path):
    """A text file, compressed by gzip if its name ends in .gz; UTF-8, with or without a byte order mark."""
    unpacked = gzip.open if path.name.lower().endswith(".gz") else open
    with unpacked(path, "rt", encoding="utf-8-sig") as stream:
        yield stream


def is_fasta(path):
    """Whether a file is a FASTA file, by its name."""
    return path.name.lower().removesuffix(".gz").endswith(FASTA)


def read_fasta(path):
    """Records of a FASTA file: DataFrame of text with hash_id, genus, species, bin, barcode, row (line of the header).

    The id is the header up to its first blank or "|". Headers of BOLD go on with "|Genus species|marker|...": the second field
    gives genus and species if it looks like a name of two words, and a field that begins with "BOLD:" gives the bin. Other
    headers give no names. A record without a sequence has no barcode; scikit-bio would stop at it. ValueError if the file
    cannot be read.
    """
    rows, parts = [], []
    try:
        with open_text(path) as stream:
            for number, line in enumerate(stream, 1):
                if line.startswith(">"):
                    parts = []
                    rows.append(_parse_header(line[1:].strip()) | {"parts": parts, "row": str(number)})
                elif rows:
                    parts.append(line.strip())
                elif line.strip() and not line.startswith(";"):  # old files begin with comments
                    raise ValueError(f"line {number} comes before the first header, which begins with >")
    except (ValueError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path.name} cannot be read as FASTA: {error}") from error
    for row in rows:
        row["barcode"] = "".join(row.pop("parts")) or pd.NA
    return pd.DataFrame(rows, columns=["hash_id", "genus", "species", "bin", "barcode", "row"], dtype="string")


def _parse_header(header):
    """What the header of a FASTA record says: {hash_id, genus, species, bin}, missing where it does not."""
    identity, *fields = header.split("|")
    named = re.match(r"([A-Z][a-z-]+) [a-z][a-z.-]+", fields[0]) if fields else None
    return {
        "hash_id": (identity.split() or [pd.NA])[0],
        "genus": named[1] if named else pd.NA,
        "species": fields[0].strip() if named else pd.NA,
        "bin": next((field.strip() for field in fields if field.startswith("BOLD:")), pd.NA),
    }


# ------------------------------------------------------------------------------------------------------- cleaning


def clean(sequences):
    """Cleaned barcodes and why some cannot be used: DataFrame (n rows) with barcode, problem, gaps, turned.

    Letters become capitals, U becomes T, and "?" becomes N. Blanks, gaps ("-", ".") and N at the ends are removed; `gaps` says
    whether there were gaps between letters. Barcodes of the other strand (`other_strand`) are `turned`. A barcode with a
    `problem` is missing. The index is that of `sequences`.
    """
    text = pd.Series(sequences, dtype="string")
    text = text.str.replace(r"\s", "", regex=True).str.upper().str.replace("U", "T").str.replace("?", "N")
    inner = text.str.strip("-.N")
    barcode = inner.str.replace(r"[-.]", "", regex=True).str.strip("N")
    odd = barcode.str.replace(rf"[{LETTERS}]", "", regex=True)
    known = barcode.str.count(f"[{BASES}]")
    problem = pd.Series(pd.NA, index=text.index, dtype="string")
    few, unknown = known < MIN_BASES, known < MIN_KNOWN * barcode.str.len()
    problem[unknown] = "barcode: more than half of its letters stand for several bases"
    problem[barcode.str.len() > MAX_LETTERS] = f"barcode: more than {MAX_LETTERS:,} letters"
    problem[few] = "barcode: " + known[few].astype("string") + f" determined bases, fewer than {MIN_BASES}"
    strange = (odd.fillna("") != "").to_numpy()
    letters = odd[strange].map(lambda letters: " ".join(sorted(set(letters))[:5])).astype("string")
    problem[strange] = "barcode: letters that stand for no base (" + letters + ")"
    gaps = inner.str.contains(r"[-.]").fillna(False).astype(bool)
    barcode = barcode.mask(problem.notna())
    turned = pd.Series(False, index=text.index)
    turned[barcode.notna()] = other_strand(barcode.dropna())
    barcode[turned] = barcode[turned].map(reverse_complement)
    return pd.DataFrame({"barcode": barcode, "problem": problem, "gaps": gaps, "turned": turned})


def reverse_complement(sequence):
    """The other strand of a barcode."""
    return sequence.translate(COMPLEMENT)[::-1]


def words(sequence, k):
    """Numbers from 0 to 4^k - 1 of all words of k letters in a sequence that hold A, C, G and T only: (at most len - k + 1)."""
    codes = CODE[np.frombuffer(sequence.encode(), np.uint8)].astype(np.int64)
    n = max(len(codes) - k + 1, 0)
    number, known = np.zeros(n, np.int64), np.ones(n, bool)
    for place in range(k):
        letter = codes[place : place + n]
        number = 4 * number + letter
        known &= letter < 4
    return number[known]


def other_strand(sequences):
    """Which barcodes (n,) are more likely the reverse complements of what the others are: True or False for each.

    Compares the logarithm of the likelihood of their words on both strands, under the frequencies of all words of the dataset
    (with one count added to each). Most barcodes have to lie on one strand; where half of them do not, there is no majority to
    compare with and none is named.
    """
    found = [words(sequence, STRAND_K) for sequence in sequences]
    counts = np.ones(4**STRAND_K)
    for numbers in found:
        counts += np.bincount(numbers, minlength=len(counts))
    digits = np.arange(len(counts))[:, None] // 4 ** np.arange(STRAND_K) % 4  # from the last letter to the first
    opposite = ((3 - digits) * 4 ** np.arange(STRAND_K)[::-1]).sum(axis=1)  # the word on the other strand
    for_other = np.log(counts[opposite]) - np.log(counts)
    return np.array([for_other[numbers].sum() > STRAND_EVIDENCE for numbers in found], bool)


# ------------------------------------------------------------------------------------------------------ reporting


def listed(names, most=5):
    """Names in one text, the first few by name."""
    names = list(names)
    return ", ".join(names[:most]) + (f" and {len(names) - most:,} more" if len(names) > most else "")


def notes(table, taxa):
    """What should be checked about the barcodes of specimens: DataFrame with hash_id and note, several rows for some.

    `table` has hash_id, barcode (cleaned) and bin, the last two missing for some; `taxa` (n) is the lineage of the species of
    every row, missing where it is not known.
    """
    table = table.assign(taxon=np.asarray(taxa, object))[table["barcode"].notna().to_numpy()]
    length = table["barcode"].str.len()
    median = length.median()
    odd = (length > OTHER_LENGTH * median) | (length * OTHER_LENGTH < median)
    lengths = f"barcode of another length than most, which have {median:.0f}: " + length.astype("string")
    found = [table.assign(note=lengths)[odd]]
    repeated = table[table["barcode"].duplicated(keep=False)]
    for _, group in repeated.groupby("barcode", sort=False):
        species = sorted(group["taxon"].dropna().unique())
        if len(species) == 1 and group["taxon"].notna().all():
            continue  # common within a species
        of = f" of several species: {listed(species)}" if len(species) > 1 else f": {listed(group['hash_id'])}"
        found.append(group.assign(note=f"identical barcodes{of}"))
    several = table.groupby("bin")["taxon"].transform("nunique") > 1
    for name, group in table[several].groupby("bin"):
        found.append(group.assign(note=f"{name} holds several species: {listed(sorted(group['taxon'].dropna().unique()))}"))
    return pd.concat(found)[["hash_id", "note"]]


def known_barcodes(metadata):
    """The DNA barcodes of all specimens (list of n texts); ValueError if one has none."""
    found = metadata["barcode"] if "barcode" in metadata else pd.Series(pd.NA, metadata.index)
    without = metadata["hash_id"][found.isna()].tolist()
    if without:
        few = ", ".join(without[:5])
        raise ValueError(
            f"{len(without)} of {len(metadata)} specimens have no DNA barcode ({few}): encoders of barcodes need one of each"
        )
    return found.tolist()
