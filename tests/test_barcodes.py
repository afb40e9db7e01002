"""DNA barcodes as they come: FASTA and BOLD's tables, cleaning, strands, notes; and chapter 01 on a folder of them."""

import gzip
import shutil

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT, SHARED
from safetensors.torch import save_file
from test_dna_networks import checkpoint

import barcodes
import listing
import specimen_table
from simulation import evolution


@pytest.fixture(scope="module")
def coi():
    """Barcodes of 60 specimens of 12 simulated species: DataFrame with species, nucleotides."""
    return evolution.barcodes(evolution.birth_death_tree(12, 0), [5] * 12, 0)


# ---- reading


def test_a_fasta_file_gives_ids_and_the_names_in_headers_of_bold(tmp_path):
    text = (
        "; an old comment\n>A-1|Abax ater|COI-5P|BOLD:AAA1\nACGT\nNN-a\n\n>B some words\nTTT\n"
        ">C|12345|x\n>D|Abax|COI-5P\r\nAC\r\n"
    )
    for name, data in (("a.fasta", text.encode()), ("b.FAS.gz", gzip.compress(text.encode()))):
        (tmp_path / name).write_bytes(data)
        assert barcodes.is_fasta(tmp_path / name)
        table = barcodes.read_fasta(tmp_path / name).set_index("hash_id")
        assert table["barcode"].fillna("none").to_dict() == {"A-1": "ACGTNN-a", "B": "TTT", "C": "none", "D": "AC"}
        assert table.loc["A-1", ["genus", "species", "bin", "row"]].tolist() == ["Abax", "Abax ater", "BOLD:AAA1", "2"]
        assert table.loc[["B", "C", "D"], ["genus", "species", "bin"]].isna().all(axis=None)


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [("a.fa", b"ACGT\n>A\nAC\n", "line 1 comes before the first header"), ("a.fa.gz", b"no gzip", "gzip"),
     ("a.fa", b">A\n\xff\xfe\n", "utf-8"), ("a.fa.gz", gzip.compress(b">A\nACGT", mtime=0)[:-9], "ended before")],
)  # fmt: skip
def test_a_file_that_is_no_fasta_is_named(tmp_path, name, data, reason):
    (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=f"{name} cannot be read as FASTA: .*{reason}"):
        barcodes.read_fasta(tmp_path / name)


@pytest.mark.parametrize(
    "header",
    ["hash_id,family,genus,species,barcode,bin", "processid,family_name,genus_name,species_name,nucleotides,bin_uri",
     "ProcessID,Family,Genus,Species,nuc,bin_uri", "processid,family,genus,species,dna_barcode,dna_bin"],
)  # fmt: skip
def test_columns_of_bold_and_bioscan_are_understood(tmp_path, header):
    for separator, name in ((",", "a.csv.gz"), ("\t", "a.tsv"), (";", "a.CSV")):
        text = f"{header}\nA,F,G,G s,ACGT,BOLD:1\n".replace(",", separator).encode()
        (tmp_path / name).write_bytes(gzip.compress(text) if name.endswith("gz") else text)
        rows, unused, _ = specimen_table.read_rows(tmp_path / name)
        assert rows[specimen_table.COLUMNS[:6]].iloc[0].tolist() == ["A", "F", "G", "G s", "ACGT", "BOLD:1"] and not unused


def test_a_canonical_name_comes_before_its_aliases(tmp_path):
    (tmp_path / "a.csv").write_text("hash_id,processid,barcode,nucleotides\nA,B,AC,GT\n")
    rows, unused, _ = specimen_table.read_rows(tmp_path / "a.csv")
    assert rows.loc[0, ["hash_id", "barcode"]].tolist() == ["A", "AC"] and unused == ["processid", "nucleotides"]
    (tmp_path / "a.csv").write_text("processid,nuc,nucleotides\nB,AC,GT\n")
    with pytest.raises(ValueError, match=r"several columns for barcode \('nuc', 'nucleotides'\)"):
        specimen_table.read_rows(tmp_path / "a.csv")


def test_a_lone_csv_is_taken_before_other_tables(tmp_path):
    def found(*names):
        return specimen_table.find_table(tmp_path, list(names)).name

    assert found("a.fasta") == "a.fasta" and found("a.tsv.gz", "b.csv") == "b.csv"
    assert found("b.csv", "metadata.csv", "c.fa") == "metadata.csv"
    with pytest.raises(FileNotFoundError, match=r"choose one of a\.fasta, b\.tsv by CSV="):
        found("a.fasta", "b.tsv")


def test_new_tables_and_fasta_files_change_the_digest_of_a_folder(tmp_path):
    seen = {listing.digest(tmp_path)}
    for name in ("a.csv", "b.tsv.gz", "c.FASTA", "d.fna.gz"):
        (tmp_path / name).touch()
        seen.add(listing.digest(tmp_path))
    (tmp_path / "notes.txt").touch()
    assert len(seen) == 5 and listing.digest(tmp_path) in seen


# ---- cleaning


LONG = "ACGTTGCA" * 10


@pytest.mark.parametrize(
    ("given", "expected"),
    [(LONG.lower(), LONG), (LONG.replace("T", "U"), LONG), (f"--NN{LONG}N..", LONG), (f"{LONG[:40]}---{LONG[40:]}", LONG),
     (f" {LONG[:8]}\n{LONG[8:]}", LONG), (f"{LONG}?N{LONG}", f"{LONG}NN{LONG}"), (f"{LONG}RYK{LONG}", f"{LONG}RYK{LONG}")],
)  # fmt: skip
def test_barcodes_are_cleaned(given, expected):
    cleaned = barcodes.clean([given])
    assert cleaned.loc[0, "barcode"] == expected and pd.isna(cleaned.loc[0, "problem"])
    assert cleaned.loc[0, "gaps"] == ("---" in given)


@pytest.mark.parametrize(
    ("given", "reason"),
    [("ACGT", "4 determined bases, fewer than 50"), ("-" * 99, "0 determined bases"), (f"{LONG}!{LONG}E", r"no base \(! E\)"),
     (LONG[:60] + "N" * 70 + "A", "more than half of its letters stand for several"), ("ACGT" * 2000, "more than 5,000")],
)  # fmt: skip
def test_bad_barcodes_have_a_reason(given, reason):
    cleaned = barcodes.clean(pd.Series([LONG, given, None], index=[7, 3, 5]))
    assert cleaned.index.tolist() == [7, 3, 5] and cleaned["problem"].isna().tolist() == [True, False, True]
    assert pd.isna(cleaned.loc[3, "barcode"]) and pd.isna(cleaned.loc[5, "barcode"])
    assert pd.Series(cleaned.loc[3, "problem"]).str.contains(reason).all()


def test_words_are_those_of_the_alphabet_and_skip_what_is_not_determined():
    assert barcodes.words("ACGT", 2).tolist() == [0b0001, 0b0110, 0b1011]
    assert barcodes.words("ACNGT", 2).tolist() == [0b0001, 0b1011] and not len(barcodes.words("A", 2))


def test_the_reverse_complement_of_all_letters():
    assert barcodes.reverse_complement("AACGTRYSWKMBDHVN") == "NBDHVKMWSRYACGTT"
    text = "ACGTRYSWKMBDHVN"
    assert barcodes.reverse_complement(barcodes.reverse_complement(text)) == text


def test_the_other_strand_is_recognised_and_turned(coi):
    sequences = coi["nucleotides"].tolist()
    some = np.arange(len(sequences)) % 6 == 0
    mixed = [barcodes.reverse_complement(s) if turn else s for s, turn in zip(sequences, some, strict=True)]
    assert barcodes.other_strand(mixed).tolist() == some.tolist()
    cleaned = barcodes.clean(mixed)
    assert cleaned["turned"].tolist() == some.tolist() and cleaned["barcode"].tolist() == sequences
    assert not barcodes.other_strand(sequences).any() and not len(barcodes.other_strand([]))


def test_sequences_without_a_common_origin_are_not_turned():
    random = np.random.default_rng(0)
    assert not barcodes.other_strand(["".join(random.choice(list("ACGT"), 300)) for _ in range(50)]).any()


def test_notes_name_repeats_conflicts_mixed_bins_and_lengths():
    one, two, three = LONG, LONG + "A", LONG * 2
    table = pd.DataFrame(
        {"hash_id": list("abcdefg"), "barcode": [one, one, two, two, three, LONG + "C", None], "bin": [*"XXYYZX", None]},
        dtype="string",
    )
    notes = barcodes.notes(table, ["F > a", "F > a", "F > a", "F > b", None, "F > c", "F > a"])
    found = notes.groupby("hash_id")["note"].apply(list).to_dict()
    mixed = ["X holds several species: F > a, F > c"]  # that they are identical is common within a species
    assert found.pop("a") == found.pop("b") == mixed
    conflict = "identical barcodes of several species: F > a, F > b"
    assert found.pop("c") == found.pop("d") == [conflict, "Y holds several species: F > a, F > b"]
    assert found.pop("e") == ["barcode of another length than most, which have 81: 160"]
    assert found == {"f": mixed}
    unnamed = barcodes.notes(table.head(2), ["F > a", None])
    assert unnamed["note"].tolist() == ["identical barcodes: a, b"] * 2
    assert barcodes.notes(table.tail(1), ["F > a"]).empty


# ---- chapter 01


def test_a_folder_of_barcodes_without_photographs(bench, tmp_path, coi):
    (tmp_path / "src").mkdir()
    table = pd.DataFrame({"processid": [f"P{n:02d}" for n in range(len(coi))], "nucleotides": coi["nucleotides"]})
    table["species"], table["genus"], table["family"] = coi["species"], coi["species"].str.split().str[0], "Nanidae"
    table.loc[0, "nucleotides"] = barcodes.reverse_complement(table.loc[0, "nucleotides"])
    table.loc[1, "nucleotides"] = "ACGT"
    table.loc[2, "nucleotides"] = "-"
    table.loc[3, "nucleotides"] = "E" + table.loc[3, "nucleotides"]
    table.to_csv(tmp_path / "src" / "coi.tsv.gz", sep="\t", index=False)
    printed, _ = bench.run("01", dataset="d", source=str(tmp_path / "src"))
    kept = pd.read_parquet(bench.data("d", "metadata.parquet")).set_index("hash_id")
    assert sorted(kept.index) == ["P00", *(f"P{n:02d}" for n in range(4, len(coi)))]
    assert kept.loc["P00", "barcode"] == coi["nucleotides"][0] and kept["path"].isna().all()
    same = kept.reset_index().groupby("barcode")["sha256"].nunique()
    assert (same == 1).all() and kept["sha256"].nunique() == len(same)
    rejected = pd.read_csv(bench.data("d", "rejected.csv")).set_index("hash_id")["reason"]
    assert rejected["P01"].startswith("barcode: 4 determined bases") and rejected["P02"] == "no barcode"
    assert "no base (E)" in rejected["P03"] and len(rejected) == 3
    reported = pd.read_csv(bench.data("d", "reported.csv"))
    assert reported.loc[reported["hash_id"] == "P00", "note"].str.endswith("turned").any()
    assert f"{len(kept)} barcodes of 1 family" in printed


def test_a_photograph_with_a_bad_barcode_is_kept_without_it(bench, tmp_path, photos):
    (tmp_path / "src").mkdir()
    lines = ["hash_id,family,barcode"]
    for path in photos[:4]:
        (tmp_path / "src" / path.name).write_bytes(path.read_bytes())
        lines.append(f"{path.stem},F,{'ACGT' if path == photos[0] else LONG}")
    (tmp_path / "src" / "metadata.csv").write_text("\n".join(lines))
    bench.run("01", dataset="d", source=str(tmp_path / "src"))
    kept = pd.read_parquet(bench.data("d", "metadata.parquet"))
    assert len(kept) == 4 and kept["barcode"].notna().tolist() == [False, True, True, True]
    reported = pd.read_csv(bench.data("d", "reported.csv"), dtype="string").set_index("hash_id")["note"]
    assert reported[photos[0].stem] == "barcode: 4 determined bases, fewer than 50: not used"


def test_the_barcodes_for_development_are_accepted_as_they_are(tmp_path):
    path = SHARED / "data" / "coi_barcodes" / "barcodes.csv.gz"
    if not path.is_file():
        pytest.skip("the barcodes for development are not on this machine")
    rows, unused, _ = specimen_table.read_rows(path)
    assert len(rows) == 27_917 and rows["hash_id"].is_unique and unused == ["order", "subfamily"]
    cleaned = barcodes.clean(rows["barcode"].iloc[::10])
    assert cleaned["problem"].isna().all() and cleaned["barcode"].str.fullmatch("[ACGTRYSWKMBDHVN]+").all()


# ---- all chapters


@pytest.mark.parametrize("kind", ["fasta", "csv"])
def test_make_all_and_barcodes_without_photographs(kind, project, tmp_path, coi):
    genera = coi["species"].str[1:].astype(int) // 3
    names = pd.DataFrame({"genus": "Gen" + genera.map(lambda n: "abcd"[n]), "nucleotides": coi["nucleotides"]})
    names["species"] = names["genus"] + " " + coi["species"].str[1:].astype(int).map(lambda n: "abcdefghijkl"[n] * 3)
    names["processid"], names["family"] = [f"P{n:02d}" for n in range(len(coi))], names["genus"].str.replace("Gen", "Fam")
    (tmp_path / "src").mkdir()
    if kind == "csv":
        names.to_csv(tmp_path / "src" / "table.csv", index=False)
    else:
        records = names[["processid", "species", "nucleotides"]].itertuples(index=False)
        text = "".join(f">{name}|{species}|COI-5P\n{sequence}\n" for name, species, sequence in records)
        (tmp_path / "src" / "all.fasta").write_text(text)
    (project.root / "models").mkdir(exist_ok=True)
    for name in ("dna_mlm.safetensors", "SHA256SUMS"):
        if not (project.root / "models" / name).is_file():
            shutil.copy(ROOT / "models" / name, project.root / "models" / name)
    settings = (f"DATASET={kind}", "ENCODERS=kmers dna_mlm", "CLUSTERERS=pooled_average", "SEEDS=0")
    if kind == "fasta":
        save_file(checkpoint("hyenadna"), tmp_path / "hyenadna.safetensors")
        published = ("ENCODERS=kmers hyenadna", f"WEIGHTS={tmp_path}")
        project.make("submission", settings[0], *published, *settings[2:], f"SOURCE={tmp_path / 'src'}")
        submission = pd.read_csv(project.data(kind, "submission.csv"), dtype="string")
        assert sorted(submission["hash_id"]) == sorted(names["processid"])
        assert project.data(kind, "embeddings", "hyenadna", "_SUCCESS").is_file()
        return
    project.make("all", *settings, f"SOURCE={tmp_path / 'src'}")
    scores = pd.read_csv(project.data(kind, "scores.csv"))
    scores = scores[(scores["clusterer"] == "pooled_average") & (scores["metric"] == "ami")]
    ami = scores.set_index(["encoder", "rank"])["value"]
    assert ami["kmers", "species"] > 0.5 and ami["dna_mlm", "species"] > 0.5
    submission = pd.read_csv(project.data(kind, "submission.csv"), dtype="string")
    assert sorted(submission["hash_id"]) == sorted(names["processid"])
    assert (project.root / "figures" / kind / "umap_kmers.png").is_file() and project.data(kind, "trust.csv").is_file()
    assert "Nothing to be done for 'all'" in project.make("all", *settings).stdout
    failed = project.make("all", *settings[:1], "ENCODERS=pixels", check=False)
    assert failed.returncode and "there are no photographs in this dataset" in failed.stdout + failed.stderr
    text = (tmp_path / "src" / "table.csv").read_text()
    (tmp_path / "src" / "table.csv").write_text(text.replace("P00,", "Q00,").replace(",P00", ",Q00"))
    project.make("submission", *settings)  # a changed table is noticed
    assert "Q00" in set(pd.read_csv(project.data(kind, "submission.csv"), dtype="string")["hash_id"])
