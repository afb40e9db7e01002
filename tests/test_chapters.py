"""Chapters run on their own, on data that is messy, partly labelled or interrupted."""

import itertools
import os
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import Workbench, draw_specimens, make_world, write_csv
from PIL import Image
from safetensors.torch import save_file
from scipy.spatial.distance import pdist
from torchvision.models import resnet18

import clustering
import encoders
import images
import listing
import plotting
import review
import utils


def metadata(project, dataset):
    return pd.read_parquet(project.data(dataset, "metadata.parquet"))


# ------------------------------------------------------------------------------------------ 00_simulate_specimens


def test_a_world_does_not_take_the_place_of_what_a_user_put_there(bench, tmp_path):
    bench.data("d").mkdir(parents=True)
    puts = (lambda path: path.write_text("mine"), lambda path: path.mkdir(), lambda path: path.symlink_to(tmp_path))
    for number, put in enumerate(puts):
        put(bench.data("d", "photos"))
        with pytest.raises(FileExistsError, match="data/d/photos are not simulated ones"):
            bench.run("00", dataset="d")
        bench.data("d", "photos").rename(bench.data("d", f"put away {number}"))


# ------------------------------------------------------------------------------------------------- 01_preprocess


@pytest.fixture(scope="module")
def messy(project, tmp_path_factory):
    """A field folder with every kind of fault, run through chapter 01; returns (kept, rejected, reported)."""
    folder = tmp_path_factory.mktemp("field") / "trip é 2"
    make_world(folder, families=2, genera=2, species=3, photos=2)  # 0000 ... 0005
    deep = folder / "a" / "b" / "c"
    deep.mkdir(parents=True)
    names = (
        "deep.TIFF",
        "twin1.png",
        "amb.png",
        "same.png",
        "stray.png",
        "cut.png",
        "dup.png",
        "conflict.png",
        "007.bmp",
    )
    *drawn, other, outside = draw_specimens(len(names) + 2)
    for name, image in zip(names, drawn, strict=True):
        image.save(deep / name)
    shutil.copy(deep / "twin1.png", folder / "twin2.png")
    shutil.copy(deep / "same.png", folder / "same.png")
    other.save(folder / "amb.jpg")
    (deep / "cut.png").write_bytes((deep / "cut.png").read_bytes()[:-400])
    (folder / "empty.jpg").touch()
    (folder / "text.jpg").write_text("no image")
    Image.new("1", (20000, 6000)).save(folder / "bomb.png")  # 120 megapixels in a few kilobytes
    (folder / "outside.jpg").symlink_to(tmp_path_factory.mktemp("elsewhere") / "secret.jpg")
    outside.save((folder / "outside.jpg").readlink())
    (folder / "notes.txt").write_text("ignored")
    names = ["deep", "twin1", "twin2", "amb", "same", "cut", "empty", "text", "bomb", "outside", "absent", "007"]
    rows = [[f"000{n}", " F0 ", "Morus ", "Morus alba"] for n in range(3)] + [
        [f"000{n}", "F1", "Morus", ""] for n in (3, 4, 5)
    ]
    rows += [[name, "F0", "", "  "] for name in names]
    rows += [
        ["dup", "F0", "", ""],
        ["dup", "F0", "", ""],
        ["conflict", "F0", "", ""],
        ["conflict", "F1", "", ""],
        ["", "F0", "", ""],
    ]
    write_csv(folder, rows)
    done = project.run("01", "dataset=messy", f"source={folder}")
    tables = [pd.read_csv(project.data("messy", f"{name}.csv"), dtype="string") for name in ("rejected", "reported")]
    return metadata(project, "messy").set_index("hash_id"), *tables, rows, done.stdout


class TestMessyFolder:
    def test_every_row_is_either_kept_or_rejected_and_stray_files_are_named(self, messy):
        kept, rejected, _, rows, _ = messy
        files_only = rejected["reason"].str.contains("no row in the CSV|copy of another file")
        # an ambiguous row is listed once per file, with one reason
        rejected_rows = rejected[~files_only].drop_duplicates(["hash_id", "reason"])
        assert len(kept) + len(rejected_rows) == len(rows)
        assert sorted(kept.index) == [
            "0000",
            "0001",
            "0002",
            "0003",
            "0004",
            "0005",
            "007",
            "deep",
            "dup",
            "same",
            "twin1",
            "twin2",
        ]
        assert rejected.set_index("hash_id").loc["stray", "path"] == "a/b/c/stray.png"

    @pytest.mark.parametrize(
        ("name", "reason"),
        [("cut", "truncated"), ("empty", "empty file"), ("text", "unreadable"), ("bomb", "oversized: 20000 x 6000"),
         ("outside", "leaves the folder"), ("absent", "no image file"), ("dup", "repeats an earlier row"),
         ("conflict", "contradicts another row"), ("amb", "ambiguous.*a/b/c/amb.png, amb.jpg")],
    )  # fmt: skip
    def test_each_fault_has_its_reason(self, messy, name, reason):
        _, rejected, *_ = messy
        assert rejected.loc[rejected["hash_id"] == name, "reason"].str.contains(reason, regex=True).any()

    def test_a_blank_id_names_its_row(self, messy):
        _, rejected, _, rows, _ = messy
        assert f"no hash_id in row {len(rows) + 1}" in rejected["reason"].tolist()

    def test_names_are_trimmed_and_blanks_are_unknown(self, messy):
        kept, *_ = messy
        assert kept.loc["0000", ["family", "genus", "species"]].tolist() == ["F0", "Morus", "Morus alba"]
        assert kept.loc["deep", ["genus", "species"]].isna().all()

    def test_twins_and_homonyms_are_kept_and_reported(self, messy):
        kept, _, reported, *_ = messy
        notes = reported.groupby("hash_id")["note"].agg(" ".join)
        assert notes["twin1"] == notes["twin2"] == "identical photographs: twin1, twin2"
        assert "genus Morus stands under F0 and F1" in notes["0000"]
        assert utils.lineage(kept, "genus").nunique() == 2

    def test_the_step_says_what_it_did(self, messy):
        *_, stdout = messy
        assert stdout.startswith("01: 12 photographs of 2 families, 2 genera and 1 species kept, 14 rows or files rejected")


def test_a_csv_without_ids_or_without_matches_stops_with_the_remedy(bench, tmp_path):
    (folder := tmp_path / "field").mkdir()
    draw_specimens(1)[0].save(folder / "a.png")

    def message():
        with pytest.raises((ValueError, FileNotFoundError)) as caught:
            bench.run("01", dataset="bad", source=str(folder))
        return str(caught.value)

    (folder / "one.csv").touch()
    (folder / "two.csv").touch()
    assert "holds no single CSV: choose one of one.csv, two.csv by CSV=<name>" in message()
    (folder / "metadata.csv").write_bytes("hash_id,family\na,Zygænidæ\n".encode("latin-1"))
    assert "metadata.csv cannot be read" in message() and "UTF-8" in message()
    write_csv(folder, [["b", "F"]], ("photo", "family"))
    assert "no column 'hash_id' but photo, family, and none of them holds names of image files" in message()
    assert "metadata.csv" in message() and "name the column" in message()
    write_csv(folder, [["b", "F"]], ("hash_id", "family"))
    assert "such as a.png" in message() and "such as b" in message() and "Name each image" in message()
    assert not bench.data("bad", "metadata.parquet").exists()


def photograph(folder, *names):
    """Write a small picture under each name, no two alike; return the folder."""
    for number, name in enumerate(names):
        path = Path(os.fsdecode(folder), name)
        path.parent.mkdir(parents=True, exist_ok=True)
        noise = np.random.default_rng(number).integers(256, size=(16, 16, 3), dtype=np.uint8)
        with path.open("wb") as stream:
            Image.fromarray(noise).save(stream, "png")
    return folder


def test_a_folder_without_a_csv_has_file_names_as_ids_and_no_taxa(bench, tmp_path):
    folder = photograph(tmp_path / "src", "a.png", "site 1/b.JPG", "site 1/IMG_1.png", "site 2/IMG_1.png", "c.png", "c.jpg")
    printed, _ = bench.run("01", dataset="d", source=str(folder))
    table = metadata(bench, "d").set_index("hash_id")
    assert table["path"].to_dict() == {
        "a": "a.png", "b": "site 1/b.JPG", "site 1/IMG_1": "site 1/IMG_1.png", "site 2/IMG_1": "site 2/IMG_1.png"
    }  # fmt: skip
    assert table[["family", "genus", "species"]].isna().all(axis=None)
    assert rejections(bench)["c"] == "ambiguous: several different files: c.jpg, c.png"
    assert "there is no CSV: ids are file names, and no taxon has a name" in printed.splitlines()[-1]


def test_folders_are_taxa_by_depth_if_labels_say_so(bench, tmp_path):
    names = ("F/G/G s/1.png", "F/G/G s/2020/2.png", "F/G/3.png", "F/unknown/4.png", "5.png", "E/G/1.png")
    folder = photograph(tmp_path / "src", *names)
    write_csv(folder, [["1", "from the CSV"]], ("hash_id", "family"))
    printed, _ = bench.run("01", dataset="d", source=str(folder), labels="folders")
    table = metadata(bench, "d").set_index("hash_id")[["family", "genus", "species"]].fillna("")
    assert {i: tuple(names) for i, names in table.T.items()} == {
        "F/G/G s/1": ("F", "G", "G s"), "2": ("F", "G", "G s"), "3": ("F", "G", ""), "4": ("F", "", ""),
        "5": ("", "", ""), "E/G/1": ("E", "G", ""),
    }  # fmt: skip
    assert "folders are taken for taxa: family (2), genus (2), species (1)" in printed


@pytest.mark.parametrize(
    "cells", [["a.png", "deep/b.png"], ["a", "b"], ["./a.png", r"elsewhere\deep\b.png"], ["/home/me/a.png", "deep/b"]]
)
@pytest.mark.parametrize("separator", [",", ";"])
def test_a_csv_with_a_column_of_file_names_is_understood_and_says_so(bench, tmp_path, cells, separator):
    folder = photograph(tmp_path / "src", "a.png", "deep/b.png")
    lines = ["Date,My photo,Family", *(f"2024,{cell},F{n}" for n, cell in enumerate(cells)), "2024,gone.png,F3"]
    (folder / "moths.csv").write_text("\n".join(lines).replace(",", separator))
    printed, _ = bench.run("01", dataset="d", source=str(folder))
    table = metadata(bench, "d")
    assert table[["hash_id", "path", "family"]].values.tolist() == [["a", "a.png", "F0"], ["b", "deep/b.png", "F1"]]
    assert rejections(bench)["gone.png"] == "no image file of this name"
    assert "moths.csv has no column hash_id: its column My photo holds the names of the image files" in printed
    assert "columns of moths.csv not used: Date" in printed


def rejections(bench, dataset="d"):
    table = pd.read_csv(bench.data(dataset, "rejected.csv"), dtype="string", keep_default_na=False)
    return table.drop_duplicates("hash_id").set_index("hash_id")["reason"]


@pytest.mark.parametrize("separator", [",", ";", "\t", ", "])
@pytest.mark.parametrize("header", ["hash_id,family,genus", "HASH_ID,Family,Genus", "\ufeff Hash_Id , FAMILY,genus "])
def test_headers_in_any_case_and_separators_of_any_kind_are_understood(bench, tmp_path, separator, header):
    photograph(tmp_path / "src", "a.png", "b.png")
    lines = [header.split(","), ["a", "Noctuidae", '"Agrotis, sensu; lato"'], ["b", "Erebidae", ""]]
    (tmp_path / "src" / "x.csv").write_text("\n\n".join(separator.join(line) for line in lines), encoding="utf-8")
    bench.run("01", dataset="d", source=str(tmp_path / "src"))
    table = metadata(bench, "d")
    assert table["family"].tolist() == ["Noctuidae", "Erebidae"]
    assert table["genus"].fillna("").tolist() == ["Agrotis, sensu; lato", ""]


def test_columns_that_are_not_used_are_named_and_those_that_stand_twice_refused(bench, tmp_path):
    photograph(tmp_path / "src", "a.png")
    write_csv(tmp_path / "src", [["a", "2024", "F", ""]], ("hash_id", "Date", "FAMILY", "subfamily"))
    printed, _ = bench.run("01", dataset="d", source=str(tmp_path / "src"))
    assert printed.splitlines()[-1].endswith("0 notes; columns of metadata.csv not used: Date, subfamily")
    write_csv(tmp_path / "src", [["a", "F", "G"]], ("hash_id", "Family", "family "))
    with pytest.raises(ValueError, match=r"metadata.csv has several columns for family \('Family', 'family'\): rename"):
        bench.run("01", dataset="d")


def test_a_row_with_too_many_cells_or_a_quote_left_open_is_named(bench, tmp_path):
    photograph(tmp_path / "src", "a.png", "b.png")
    path = tmp_path / "src" / "metadata.csv"
    path.write_text('hash_id,family\n"a","F"\n\nb,Agrotis, a moth\n,\n')
    bench.run("01", dataset="d", source=str(tmp_path / "src"))
    assert metadata(bench, "d")["hash_id"].tolist() == ["a"]
    assert rejections(bench)["b"].startswith("too many cells: row 4 has more than the header")
    path.write_text('hash_id,family\na,"F\nb,G\n')
    with pytest.raises(ValueError, match=r"metadata.csv cannot be read .*save it as CSV"):
        bench.run("01", dataset="d")


MARKS = [
    "NA",
    "n/a",
    "nan",
    "NULL",
    "None",
    "-",
    "--",
    "?",
    "unknown",
    "Unidentified",
    "<NA>",
    "(unknown)",
    "indet.",
    "sp.",
]
LOOKALIKES = [
    "Nanidae",
    "Nana",
    "Nullipora",
    "Aa",
    "Ia io",
    "Unknownia",
    "Spio",
    "La",
    "Noneidae",
    "蛾科",
    "🦋",
    "Agrotis sp. 2",
]


def test_marks_for_a_missing_name_are_no_taxon_and_names_that_look_alike_are(bench, tmp_path):
    photograph(tmp_path / "src", *(f"{name}.png" for name in ("NA", "None", "-")))
    photograph(tmp_path / "src", *(f"{n}.png" for n in range(12)))
    rows = [["NA", "N/A", "nan", "?", "NULL"], ["None", "F", "unknown", "-", "NA"], ["-", "F", "G", "G a", "ACGT" * 20]]
    rows += [[n, LOOKALIKES[n], mark, LOOKALIKES[-n], ""] for n, mark in enumerate(MARKS[:12])]
    write_csv(tmp_path / "src", rows, ("hash_id", "family", "genus", "species", "barcode"))
    printed, _ = bench.run("01", dataset="d", source=str(tmp_path / "src"))
    table = metadata(bench, "d").set_index("hash_id")
    assert len(table) == 15 and table.loc["NA", ["family", "genus", "species", "barcode"]].isna().all()
    assert table.loc["None", ["genus", "species", "barcode"]].isna().all() and table.loc["None", "family"] == "F"
    assert table.loc["-", ["family", "genus", "species", "barcode"]].tolist() == ["F", "G", "G a", "ACGT" * 20]
    assert table["genus"].count() == 1
    assert set(table["family"].dropna()) == {"F", *LOOKALIKES} and set(table["species"].dropna()) == {
        "G a",
        *LOOKALIKES,
    }
    assert "taken for missing: " in printed and "NA (2 times)" in printed and "N/A (1 times)" in printed


def test_a_specimen_whose_genus_alone_was_determined_has_no_species(bench, tmp_path):
    names = ["Agrotis sp.", "Agrotis sp", "Agrotis_spp.", "Agrotis indet."]
    names += ["Agrotis sp. 2", "Agrotis cf. segetum", "Agrotis spina"]
    photograph(tmp_path / "src", *(f"{n}.png" for n in range(len(names))))
    write_csv(tmp_path / "src", [[n, "Noctuidae", "Agrotis", name] for n, name in enumerate(names)])
    printed, _ = bench.run("01", dataset="d", source=str(tmp_path / "src"))
    table = metadata(bench, "d")
    assert table["species"].dropna().tolist() == names[4:] and table["genus"].eq("Agrotis").all()
    assert "Agrotis sp. (1 times)" in printed


def test_every_mark_is_known_in_any_case(bench, tmp_path):
    marks = [cased for mark in MARKS for cased in (mark, mark.upper(), mark.lower(), f" {mark} ")]
    photograph(tmp_path / "src", *(f"{n}.png" for n in range(len(marks))))
    write_csv(tmp_path / "src", enumerate(marks), ("hash_id", "family"))
    bench.run("01", dataset="d", source=str(tmp_path / "src"))
    assert metadata(bench, "d")["family"].isna().all()


def test_what_was_seen_is_noted_last_and_as_it_was_before_reading(bench, tmp_path, monkeypatch):
    folder = photograph(tmp_path / "src", "a.png")
    write_csv(folder, [["a", "F"]], ("hash_id", "family"))
    before = listing.digest(folder)
    show, seen = plotting.show_photos, bench.data("d", "photos.seen")

    def change(figure):
        assert not seen.exists() and bench.data("d", "metadata.parquet").exists()
        photograph(folder, "b.png")
        show(figure)

    monkeypatch.setattr(plotting, "show_photos", change)
    bench.run("01", dataset="d", source=str(folder))
    assert seen.read_text() == f"{before}\n" != f"{listing.digest(folder)}\n"


class TestPhotographsInTheDatasetsOwnFolder:
    @pytest.fixture
    def home(self, bench):
        photograph(bench.data("d"), "a.png", "trap/b.png")
        write_csv(bench.data("d"), [["a", "F"], ["b", "G"]], ("hash_id", "family"), name="moths.csv")
        return bench.data("d")

    def test_the_folder_itself_is_a_source_and_its_outputs_are_none(self, bench, home):
        for _ in range(2):
            bench.run("01", dataset="d", source=str(home))
            assert (home / "photos").is_symlink() and metadata(bench, "d")["path"].tolist() == ["a.png", "trap/b.png"]
            assert rejections(bench).empty
        assert (home / "photos.seen").read_text().strip() == self.digest(bench, home)

    def digest(self, bench, folder):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(listing, "ROOT", bench.root)
            return listing.digest(folder)

    def test_a_folder_inside_is_one_too(self, bench, home):
        home.rename(bench.data("raw"))
        home.mkdir()
        bench.data("raw").rename(home / "raw")
        bench.run("01", dataset="d", source=str(home / "raw"))
        assert (home / "photos").resolve() == home / "raw" and len(metadata(bench, "d")) == 2

    def test_a_real_folder_of_photographs_is_taken_where_nothing_lies_beside_it(self, bench, home):
        (home / "photos").mkdir()
        for name in ("a.png", "trap", "moths.csv"):
            (home / name).rename(home / "photos" / name)
        for _ in range(2):
            bench.run("01", dataset="d", source=str(home))
            assert not (home / "photos").is_symlink() and len(metadata(bench, "d")) == 2
        photograph(home, "c.png")
        with pytest.raises(FileExistsError, match="data/d/photos holds photographs already: move them"):
            bench.run("01", dataset="d", source=str(home))

    def test_what_it_did_not_make_it_does_not_remove(self, bench, home, tmp_path):
        photograph(tmp_path / "src", "a.png")
        write_csv(tmp_path / "src", [["a", "F"]], ("hash_id", "family"))
        (home / "photos").write_text("a file of the user")
        with pytest.raises(FileExistsError, match="data/d/photos holds"):
            bench.run("01", dataset="d", source=str(tmp_path / "src"))
        assert (home / "photos").read_text() == "a file of the user"


def test_one_bad_file_does_not_stop_the_others(bench, tmp_path):
    good = ["-x", "a'b", 'q"q', "new\nline", "com,ma", "$x_{$", "蛾"]
    folder = photograph(tmp_path / "src", *(f"{name}.png" for name in good))
    bad = ["loop", "dangling", "folder", "pipe", "forbidden", "b\udcffd"]
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "dangling.jpg").symlink_to("nowhere.jpg")
    (folder / "folder.jpg").mkdir()
    os.mkfifo(folder / "pipe.jpg")
    photograph(folder, "forbidden.png", "b\udcffd.png")
    (folder / "forbidden.png").chmod(0)
    write_csv(folder, [[name, "F"] for name in [*good, *bad[:5], "b�d"]], ("hash_id", "family"))
    bench.run("01", dataset="d", source=str(folder))
    readable = ["forbidden"] if os.access(folder / "forbidden.png", os.R_OK) else []  # as for root
    assert sorted(metadata(bench, "d")["hash_id"]) == sorted([*good, *readable])
    reasons = rejections(bench)
    assert reasons["loop"].startswith("unreadable") and reasons["dangling"].startswith("unreadable")
    assert reasons["folder"] == reasons["pipe"] == reasons["b�d"] == "no image file of this name"
    table = pd.read_csv(bench.data("d", "rejected.csv"), dtype="string", keep_default_na=False).set_index("path")
    assert table.loc["b\\xffd.png", "reason"] == "the file's name is not UTF-8: rename it"
    assert not reasons.str.contains(str(tmp_path), regex=False).any()


def test_a_file_that_vanishes_is_rejected_and_the_rest_is_kept(bench, tmp_path, monkeypatch):
    folder = photograph(tmp_path / "src", "a.png", "b.png", "c.png", "d.png")
    write_csv(folder, [["a", "F"], ["b", "F"], ["c", "F"], ["d", "F"]], ("hash_id", "family"))
    load, opened, sheet = images.load_rgb, images.open_file, plotting.contact_sheet

    def vanish(function, name, call=1):
        calls = []

        def wrapped(path, *others):
            calls.extend([path] if Path(path).name == name else [])
            if len(calls) == call:
                (folder / name).unlink(missing_ok=True)
            return function(path, *others)

        return wrapped

    def sheet_without_c(*arguments, **options):
        (folder / "c.png").unlink()
        return sheet(*arguments, **options)

    monkeypatch.setattr(images, "load_rgb", vanish(load, "a.png"))
    monkeypatch.setattr(images, "open_file", vanish(opened, "b.png", call=2))  # after it was decoded
    monkeypatch.setattr(plotting, "contact_sheet", sheet_without_c)
    bench.run("01", dataset="d", source=str(folder))
    assert metadata(bench, "d")["hash_id"].tolist() == ["c", "d"] and {"a", "b"} <= set(rejections(bench).index)


ODD_NAMES = [
    "$x_{$",
    "F" * 300,
    "F" * 299 + "G",
    "A/g1",
    "A",
    "A > B",
    "🦋",
    "蛾科",
    "_hidden",
    "a\\b",
    "#",
    "50 %",
    "{x}",
    "x^2$",
]


def test_family_names_of_any_kind_are_kept_and_drawn(bench, tmp_path):
    folder = photograph(tmp_path / "src", *(f"{n}.png" for n in range(len(ODD_NAMES))))
    rows = [[n, name, "B > C" if name == "A" else "C", f"{name} s"] for n, name in enumerate(ODD_NAMES)]
    write_csv(folder, rows, ("hash_id", "family", "genus", "species"))
    bench.run("01", dataset="d", source=str(folder))
    table = metadata(bench, "d").set_index("hash_id").loc[map(str, range(len(ODD_NAMES)))]
    assert table["family"].tolist() == ODD_NAMES
    assert utils.lineage(table, "genus").nunique() == len(ODD_NAMES)  # A > (B > C) is not (A > B) > C
    bench.encode("d")
    bench.run("04", dataset="d", encoder="pixels")
    assert (bench.root / "figures" / "d" / "umap_pixels.png").exists()


# ----------------------------------------------------------------------------------------- 02_extract_embeddings


def test_a_killed_extraction_goes_on_at_the_next_shard(project, tmp_path):
    make_world(tmp_path / "photos", photos=10)
    save_file(resnet18().state_dict(), tmp_path / "resnet18.safetensors")
    project.run("01", "dataset=killed", f"source={tmp_path / 'photos'}")
    encoder_config = ["dataset=killed", f"weights_dir={tmp_path}", "shard_size=8", "batch_size=4", "input_size=96", "-f"]
    encoder_config += [str(project.root / "params/encoders/resnet18_double.yaml")]
    folder = project.data("killed", "embeddings", "broken_off")

    def three_shards():
        return len(list(folder.glob("part-*.parquet"))) >= 3

    executed = project.root / "out" / "02.ipynb"
    executed.unlink(missing_ok=True)  # of another test
    project.run_and_kill("02", "encoder=broken_off", *encoder_config, when=three_shards)
    done = {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*.parquet")}
    assert 3 <= len(done) < 15 and not (folder / "_SUCCESS").exists()
    assert not executed.exists()

    resumed = project.run("02", "encoder=broken_off", *encoder_config)
    assert f"{15 - len(done)} shards made" in resumed.stdout
    assert all((folder / name).stat().st_mtime_ns == date for name, date in done.items())
    project.run("02", "encoder=whole", *encoder_config)
    for path in sorted(project.data("killed", "embeddings", "whole").glob("part-*.parquet")):
        assert path.read_bytes() == (folder / path.name).read_bytes()

    # other weights are other embeddings: nothing that was made from the old ones is kept
    torch.manual_seed(9)
    save_file(resnet18().state_dict(), tmp_path / "resnet18.safetensors")
    assert "15 shards made" in project.run("02", "encoder=whole", *encoder_config).stdout


@pytest.fixture
def few(bench, tmp_path):
    """A function that makes a dataset "d" of so many photographs, all of one family."""

    def make(count, alike=False, families=None):
        folder = photograph(tmp_path / "src", *(f"{n:03d}.png" for n in range(count)))
        for n in range(count if alike else 0):
            shutil.copy(folder / "000.png", folder / f"{n:03d}.png") if n else None
        families = families or ["F"] * count
        write_csv(folder, [[f"{n:03d}", family] for n, family in enumerate(families)], ("hash_id", "family"))
        bench.run("01", dataset="d", source=str(folder))
        return bench

    return make


@pytest.mark.parametrize("count", [1, 2, 3, 4, 12])
@pytest.mark.parametrize("alike", [False, True])
def test_few_photographs_and_those_all_alike_are_embedded_and_drawn(few, count, alike):
    bench = few(count, alike, [""] * count)
    bench.encode("d")
    printed, _ = bench.run("04", dataset="d", encoder="pixels")
    xy = pd.read_parquet(bench.data("d", "maps", "pixels", "default.parquet"))[["x", "y"]]
    assert len(xy.drop_duplicates()) == count and np.isfinite(xy).all(axis=None)
    laid_out = count >= 4 and not alike
    assert ("drawn in a circle" in printed) != laid_out and ("trustworthiness" in printed) == laid_out


def test_a_fused_encoder_has_one_map_and_its_parts_are_kept_apart(few):
    bench = few(12)
    bench.encode("d")
    bench.run("02", dataset="d", **CONFIG | {"encoder": "pixels_16", "input_size": 16})
    fused = {"library": "fused", "architecture": "pixels pixels_16", "weights": None, "layers": {"both": "last"}}
    bench.run("02", dataset="d", encoder="fused", **fused)
    _, kept = bench.run("04", dataset="d", encoder="fused")
    assert list(kept["embeddings"]) == ["both"] and set(kept["maps"]["layer"]) == {"both"}
    _, kept = bench.cluster("d", encoder="fused")
    assert list(kept["layers"]) == ["both:pixels", "both:pixels_16"]
    for values in kept["layers"].values():
        assert np.linalg.norm(values, axis=1) == pytest.approx(1)
    run = {"clusterers": ["pooled_average"], "seeds": [0], "submit": "fused/pooled_average"}
    _, scored = bench.run("06", dataset="d", encoders=["fused"], **run)
    together = clustering.prepare(np.hstack([*kept["layers"].values()]))
    np.testing.assert_array_equal(scored["prepared"]["fused"], kept["prepared"][0])  # part by part, as chapter 05 does
    assert not np.allclose(pdist(together), pdist(kept["prepared"][0]), rtol=1e-5)


CONFIG = {
    "encoder": "pixels", "library": "pixels", "architecture": "thumbnail", "weights": None, "layers": {"pca": "thumbnail"},
    "input_size": 32, "role": "control",
}  # fmt: skip


def test_the_name_of_an_encoder_is_not_given_to_another(few):
    bench = few(4)
    with pytest.raises(ValueError, match=r"'pixels' has a config.*input_size = 16 \(there 32\).*choose another name"):
        bench.encode("d", input_size=16)
    with pytest.raises(ValueError, match=r"'deit_tiny' has a config.*library = 'pixels'.*layers = "):
        bench.run("02", dataset="d", **CONFIG | {"encoder": "deit_tiny"})
    bench.run("02", dataset="d", **CONFIG | {"encoder": "pixels_16", "input_size": 16})
    bench.run("02", dataset="d", **CONFIG | {"batch_size": 2, "shard_size": 3, "precision": "float32", "seed": 5})


def test_only_photographs_that_were_added_are_described(few, tmp_path, monkeypatch):
    bench, described = few(7), []
    config = CONFIG | {"encoder": "small", "library": "torchvision", "architecture": "resnet18", "layers": {"deep": "avgpool"}}
    load = encoders.load_photo
    monkeypatch.setattr(encoders, "load_photo", lambda path, *more: described.append(path.name) or load(path, *more))

    def embed(**settings):
        described.clear()
        printed, kept = bench.run("02", dataset="d", shard_size=3, **config | settings)
        return printed, kept["embeddings"]

    embed()
    assert len(described) == 7
    source = photograph(tmp_path / "src", "0005.png")  # the second in the order, so that all shards have other photographs
    (source / "006.png").unlink()
    write_csv(source, [[path.stem, "F"] for path in sorted(source.glob("*.png"))], ("hash_id", "family"))
    bench.run("01", dataset="d", source=str(source))
    printed, found = embed()
    assert described == ["0005.png"] and "6 known, 1 new" in printed
    shutil.rmtree(bench.data("d", "embeddings", "small"))
    _, expected = embed()
    assert len(described) == 7
    for layer, values in expected.items():
        np.testing.assert_allclose(found[layer], values, rtol=2e-2, atol=2e-2)
    embed(seed=1)
    assert len(described) == 7  # other weights


def test_another_order_of_layers_is_another_embedding(few):
    bench, two = few(3), {"early": 2, "late": "head"}
    config = CONFIG | {"encoder": "small", "library": "timm", "architecture": "deit_tiny_patch16_224"}
    for layers in (two, dict(reversed(two.items()))):
        bench.run("02", dataset="d", **config | {"layers": layers})
        found = utils.read_shards(bench.data("d", "embeddings", "small"), ["000", "001", "002"])
        assert list(found) == list(layers)  # the deepest, which clusterers use, is the last


def test_a_shard_that_was_cut_off_is_made_again(few):
    bench = few(6)
    bench.encode("d", shard_size=2)
    folder = bench.data("d", "embeddings", "pixels")
    whole = {path.name: path.read_bytes() for path in folder.glob("part-*")}
    for name, content in (("part-00000.parquet", whole["part-00000.parquet"][:-40]), ("part-00002.parquet", b"")):
        (folder / name).write_bytes(content)
    with pytest.raises(
        ValueError, match=r"embeddings/pixels/part-00000.parquet cannot be read.*delete it and run make"
    ):
        utils.read_shards(folder, ["000"])
    printed, _ = bench.encode("d", shard_size=2)
    assert "part-00000.parquet cannot be read and is made again" in printed and "2 shards made" in printed
    assert {path.name: path.read_bytes() for path in folder.glob("part-*")} == whole and (folder / "_SUCCESS").exists()


def test_embeddings_are_complete_only_when_they_were_found_to_be_finite(few, monkeypatch):
    bench, success = few(4), ("d", "embeddings", "pixels", "_SUCCESS")

    def check(values):
        assert not bench.data(*success).exists()
        return np.zeros(values.shape, bool)

    with pytest.raises(ValueError, match="infinite or undefined values in pca"), monkeypatch.context() as patch:
        patch.setattr(np, "isfinite", lambda values: check(values) if np.shape(values) == (4, 4) else np.True_)
        bench.encode("d")
    assert not bench.data(*success).exists()
    bench.encode("d")
    assert bench.data(*success).exists()


# -------------------------------------------------------------- 05_hierarchical_clustering and 06_evaluate, part labels


METHODS = ("pooled_average", "nested_kmeans_10", "flat_kmeans")


@pytest.fixture(scope="module")
def partly(tmp_path_factory):
    """A workbench with one world with all names, with families only and with none, each clustered in every way."""
    folder, here = tmp_path_factory.mktemp("partly"), Workbench(tmp_path_factory.mktemp("bench"))
    rows = make_world(folder)
    rows.append(["absent", rows[0][1], "", ""])
    for dataset, known in (("families_only", 2), ("nameless", 1)):
        write_csv(folder, [row[:known] for row in rows], ("hash_id", "family")[:known], name=f"{dataset}.csv")
        here.run("01", dataset=dataset, source=str(folder), csv=f"{dataset}.csv")
        here.encode(dataset)
    shutil.copytree(here.data("families_only"), here.data("named"), symlinks=True)
    names = pd.DataFrame(rows, columns=["hash_id", *utils.RANKS]).set_index("hash_id")
    known = metadata(here, "named")
    known[["genus", "species"]] = names.loc[known["hash_id"], ["genus", "species"]].to_numpy()
    utils.write_table(known, here.data("named", "metadata.parquet"))
    for dataset, method in itertools.product(("families_only", "nameless", "named"), METHODS):
        here.cluster(dataset, method, seeds=[0, 1])
    return here


@pytest.mark.parametrize("dataset", ["families_only", "nameless"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_works_with_and_without_families(partly, dataset, method):
    known = metadata(partly, dataset)
    clusters = pd.read_parquet(partly.data(dataset, "clusters", "pixels", method, "seed=0.parquet"))
    utils.check_clusters(clusters, known["hash_id"])
    if dataset == "families_only":
        assert clusters["family_cluster"].tolist() == known["family"].tolist()
    else:
        assert clusters["family_cluster"].str.fullmatch(r"f\d+").all()
        # six photographs of a species, seen as pixels: the default finds nothing that random points would not show
        assert (clusters["family_cluster"].nunique() == 1) == (method == "pooled_average")


@pytest.mark.parametrize("method", METHODS)
def test_no_method_reads_genus_or_species_names(partly, method):
    paths = [partly.data(d, "clusters", "pixels", method, "seed=0.parquet") for d in ("named", "families_only")]
    assert paths[0].read_bytes() == paths[1].read_bytes()


def test_caps_are_reached_and_the_same_seed_gives_the_same_bytes(partly):
    path = partly.data("families_only", "clusters", "pixels", "nested_kmeans_10", "seed=0.parquet")
    clusters, before = pd.read_parquet(path), path.read_bytes()
    families = clusters.groupby("family_cluster")["genus_cluster"].agg(["size", "nunique"])
    assert (families["nunique"] == families["size"].clip(upper=10)).all()
    partly.cluster("families_only", "nested_kmeans_10")
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("dataset", "clusterer", "scored", "compared"),
    [
        ("families_only", "pooled_average", {"family"}, {*utils.RANKS}),
        ("nameless", "nested_kmeans_10", set(), {*utils.RANKS}),
        ("nameless", "pooled_average", set(), set()),  # one cluster has no silhouette
    ],
)
def test_without_names_the_internal_indices_remain(partly, dataset, clusterer, scored, compared):
    run = {"encoders": ["pixels"], "clusterers": [clusterer], "seeds": [0], "submit": f"pixels/{clusterer}"}
    printed, _ = partly.run("06", dataset=dataset, **run)
    scores = pd.read_csv(partly.data(dataset, "scores.csv"))
    assert set(scores.loc[scores["metric"] == "ami", "rank"]) == scored
    assert set(scores.loc[scores["metric"] == "silhouette", "rank"]) == compared
    assert ("best species silhouette" in printed) == bool(compared) and "n_found" not in printed
    assert not scores["clusterer"].str.startswith("oracle").any()
    submission = pd.read_csv(partly.data(dataset, "submission.csv"), dtype="string")
    assert submission["hash_id"].tolist() == [*(f"{n:04d}" for n in range(72)), "absent"]  # what was rejected, too
    assert submission.iloc[-1, 1:].str.startswith("rejected/1").all()


@pytest.mark.parametrize(
    ("chapter", "word"),
    [("11", {"encoder": "pixels"}), ("12", {"run": "pixels/pooled_average"}), ("13", {"encoders": ["pixels"]})],
)
def test_what_needs_names_says_so(partly, chapter, word):
    with pytest.raises(utils.NotApplicable, match=r"^\d species with names of .* are needed, and there are 0$"):
        partly.run(chapter, dataset="families_only", **word)


def test_a_bad_setting_stops_with_what_was_expected(partly):
    with pytest.raises(ValueError, match="a map needs n_neighbors of 2 or more"):
        partly.run("04", dataset="nameless", encoder="pixels", n_neighbors=1)
    with pytest.raises(ValueError, match="no layer 'layer9'"):
        partly.run("05", dataset="nameless", encoder="pixels", genus_layers={"layer9": 1.0})


# ------------------------------------------------------------------- 19_contact_sheets, 20_atlas and 21_review


@pytest.fixture(scope="module")
def sorted_folder(tmp_path_factory):
    """A folder without a CSV, clustered by its pixels, with a map; a workbench, and the run."""
    (root := tmp_path_factory.mktemp("sorted") / "bench").mkdir()
    bench, folder = Workbench(root), root.parent / "photographs"
    make_world(folder, families=2, genera=4, species=6, photos=5)
    (folder / "metadata.csv").unlink()
    bench.run("01", dataset="d", source=str(folder))
    bench.encode("d")
    bench.cluster("d", "nested_ward")
    ids = metadata(bench, "d")["hash_id"]
    xy = np.random.default_rng(0).normal(size=(len(ids), 2))
    maps = pd.DataFrame({"hash_id": ids, "layer": "pixels", "x": xy[:, 0], "y": xy[:, 1]})
    bench.data("d", "maps", "pixels").mkdir(parents=True)
    maps.to_parquet(bench.data("d", "maps", "pixels", "default.parquet"))
    about = {"dataset": "d", "run": "pixels/nested_ward"}
    bench.run("16", **about, encoders=["pixels"])
    return bench, about


def test_clusters_without_names_are_drawn_and_old_pages_removed(sorted_folder):
    bench, about = sorted_folder
    pages = bench.data("d", "previews", "clusters")
    pages.mkdir(parents=True)
    (pages / "page-9999.jpg").touch()
    (pages / "mine.jpg").touch()
    printed, _ = bench.run("19", **about)
    index, clusters = pd.read_csv(pages / "index.csv"), pd.read_csv(bench.data("d", "trust.csv"))
    assert index["photographs"].sum() == len(clusters) == 30 and index["verdict"].isna().all()
    assert {path.name for path in pages.iterdir()} == {"index.csv", "mine.jpg", *index["page"]}
    assert not list(bench.root.glob("figures/d/clusters.jpg"))  # real photographs stay in data/
    assert "pages of" in printed


def test_figures_that_need_names_do_not_stay_without_them(sorted_folder):
    bench, about = sorted_folder
    figures = bench.root / "figures" / "d"
    for name in ("trust.png", "trust.csv", "vector/trust.pdf", "vector/other.pdf"):
        (figures / name).parent.mkdir(parents=True, exist_ok=True)
        (figures / name).touch()
    bench.run("16", **about, encoders=["pixels"])
    assert not list(figures.rglob("trust.*")) and (figures / "vector" / "other.pdf").is_file()


def test_a_review_of_the_atlas_comes_back_into_it(sorted_folder):
    bench, about = sorted_folder
    printed, variables = bench.run("20", **about)
    assert "30 photographs" in printed and bench.data("d", "atlas", "pixels.html").is_file()
    assert variables["data"]["review"] == {} and variables["data"]["names"]["species"] == []

    clusters = pd.read_csv(bench.data("d", "trust.csv"), dtype="string")
    label = clusters["species_cluster"].value_counts().index[0]
    inside = clusters["hash_id"][clusters["species_cluster"] == label].tolist()
    outside = clusters["hash_id"][clusters["species_cluster"] != label].tolist()
    rows = [[name, label, "accepted", "", "", "species", "F", "G", "<b>G s"] for name in inside]
    rows += [[name, "", decision, original, "", "", "", "", ""] for name, decision, original in (
        (outside[0], "noise", ""), (outside[1], "duplicate", inside[0]), ("nobody", "noise", ""), (outside[2], "?", ""),
    )]  # fmt: skip
    path = bench.root / "review.csv"
    pd.DataFrame(rows, columns=review.COLUMNS[:9]).to_csv(path, index=False)
    printed, _ = bench.run("21", **about, encoders=["pixels"], review=str(path))
    assert f"{len(inside) + 2} photographs decided (2 rows rejected), {len(inside) + 1} named" in printed
    assert sorted(pd.read_csv(bench.data("d", "review_rejected.csv"))["hash_id"]) == sorted(["nobody", outside[2]])
    found = pd.read_csv(bench.data("d", "reviewed.csv"), dtype="string").set_index("hash_id")
    assert len(found) == 30 and set(found.index[found["species_cluster"] == label]) == {*inside, outside[1]}
    assert (found.loc[[*inside, outside[1]], "scientificName"] == "<b>G s").all() and found.loc[inside, "trust"].notna().all()
    assert found.loc[outside[0], ["species_cluster", "trust"]].isna().all()
    assert found.loc[outside[2:], "scientificName"].isna().all()

    bench.run("19", **about, reviewed=True)
    assert pd.read_csv(bench.data("d", "previews", "clusters", "index.csv"))["photographs"].sum() == 29  # without noise
    _, variables = bench.run("20", **about, reviewed=True)
    data = variables["data"]
    shown = pd.DataFrame(data["review"], index=data["ids"])
    assert shown["decision"].value_counts().to_dict() == {"accepted": len(inside), "noise": 1, "duplicate": 1}
    assert (shown.loc[inside, "given_species"] == "<b>G s").all() and shown.loc[outside[1], "duplicate_of"] == inside[0]
    assert data["ids"][-1] == outside[0] and sum(data["clusters"]["size"]) == 29
    assert "<b>G" not in bench.data("d", "atlas", "pixels.html").read_text()


def test_a_review_beside_the_photographs_is_not_taken_for_their_table(bench, tmp_path):
    folder = photograph(tmp_path / "src", "a.png")
    write_csv(folder, [["a", "F"]], ("hash_id", "family"), name="moths.csv")
    write_csv(folder, [["a", "F/g1/s1", "accepted", ""]], review.COLUMNS[:4], name="review.csv")
    bench.run("01", dataset="d", source=str(folder))
    assert metadata(bench, "d")["family"].tolist() == ["F"]


# -------------------------------------------------------------------------------------------------------------- 28_speed


def test_speed_is_compared_within_rounds_and_sizes(bench):
    rates = {"plain loop": 10.0, "timm, its own loop": 15.0, "chapter 02": 30.0, "network alone": 40.0}
    rounds = [("small", turn, loop, rate * (1 + turn)) for turn in range(3) for loop, rate in rates.items()]
    extraction = pd.DataFrame(rounds, columns=["photographs", "round", "loop", "images_per_second"])
    utils.write_table(extraction, bench.data("d", "bench", "extraction.csv"))
    runs = [("growing", 10**n, "pooled_average", 2.0 * 10**n, n) for n in (3, 4)] + [("growing", 1000, "nested_ward", 500.0, 9)]
    runs += [("challenge", 50_000, "pooled_average", 30.0, 2), ("challenge", 50_000, "nested_kmeans_30", 20.0, 3)]
    clustering = pd.DataFrame(runs, columns=["collection", "photographs", "clusterer", "seconds", "gigabytes"])
    utils.write_table(clustering.assign(species_ami=0.5), bench.data("d", "bench", "clustering.csv"))
    printed, kept = bench.run("28", dataset="d")
    assert kept["faster"].loc["small"].round(6).to_dict() == {
        "network alone": 0.75, "plain loop": 3.0, "timm, its own loop": 2.0,
    }  # fmt: skip
    assert kept["table"]["times_the_fastest"].tolist() == [4.0, 1.0, 1.0, 1.5, 1.0]
    assert kept["slope"] == pytest.approx(1) and "3.0 to 3.0 times the plain loop; 10,000 in 4.0 GB" in printed
