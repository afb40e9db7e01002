"""The table that describes specimens, names of taxa from folders, and the listing of a folder."""

import os

import pandas as pd
import pytest

import listing
import specimen_table


@pytest.mark.parametrize(
    ("paths", "taxa"),
    [
        (["Noctuidae/1.jpg", "Noctuidae/Agrotis/Agrotis segetum/2.jpg"],
         [("Noctuidae", "", ""), ("Noctuidae", "Agrotis", "Agrotis segetum")]),
        (["Noctuidae/Agrotis/segetum/1.jpg", "Noctuidae/Agrotis/ipsilon/female/2.jpg"],
         [("Noctuidae", "Agrotis", "segetum"), ("Noctuidae", "Agrotis", "ipsilon")]),
        (["Agrotis segetum/1.jpg", "Agrotis_ipsilon/2.jpg", "Xestia sp. 2/3.jpg", "4.jpg"],
         [("", "Agrotis", "Agrotis segetum"), ("", "Agrotis", "Agrotis_ipsilon"), ("", "Xestia", "Xestia sp. 2"),
          ("", "", "")]),
        ([*(f"N/Agrotis {end}/1.jpg" for end in "abcdefghi"), "N/other/larva/2.jpg"],
         [*(("N", "Agrotis", f"Agrotis {end}") for end in "abcdefghi"), ("N", "", "other")]),
        (["Noctuidae/Agrotis segetum/1.jpg", "Noctuidae/2.jpg"],
         [("Noctuidae", "Agrotis", "Agrotis segetum"), ("Noctuidae", "", "")]),
        (["Agrotis/Agrotis segetum/1.jpg", "Xestia/Xestia c-nigrum/2.jpg", "Xestia/3.jpg"],
         [("", "Agrotis", "Agrotis segetum"), ("", "Xestia", "Xestia c-nigrum"), ("", "Xestia", "")]),
        (["Lepidoptera/Noctuidae/Agrotis/Agrotis segetum/1.jpg"], [("Noctuidae", "Agrotis", "Agrotis segetum")]),
        (["shards.tar/Agrotis segetum/1.jpg"], [("", "Agrotis", "Agrotis segetum")]),
        (["bee/1.jpg", "wasp/2.jpg"], [("bee", "", ""), ("wasp", "", "")]),
        (["1.jpg"], [("", "", "")]),
    ],
)  # fmt: skip
def test_folders_are_taxa_by_depth_or_by_names_in_two_words(paths, taxa):
    rows = specimen_table.rows_of_folders({path: path for path in paths})
    assert rows["hash_id"].tolist() == paths
    assert list(map(tuple, rows[["family", "genus", "species"]].astype("string").fillna("").to_numpy())) == taxa


def test_one_name_in_two_words_among_many_makes_no_level_of_species():
    paths = [f"{name}/1.jpg" for name in ["Noctuidae", "Geometridae", "Moths unknown"]]
    rows = specimen_table.rows_of_folders({path: path for path in paths})
    assert rows["family"].tolist() == ["Noctuidae", "Geometridae", "Moths unknown"]
    assert pd.isna(rows[["genus", "species"]]).all(axis=None)


def write(folder, content):
    (folder / "metadata.csv").write_text(content)
    return folder / "metadata.csv"


def test_the_separator_that_excel_writes_first_is_no_header(tmp_path):
    rows, unused, _ = specimen_table.read_rows(write(tmp_path, "sep=;\nhash_id;family;site\na;Noctuidae;5\n"))
    assert rows[["hash_id", "family", "row"]].iloc[0].tolist() == ["a", "Noctuidae", "3"] and unused == ["site"]


def test_a_table_without_rows_says_so(tmp_path):
    with pytest.raises(ValueError, match=r"metadata.csv has a header and no rows"):
        specimen_table.read_rows(write(tmp_path, "hash_id,family\n"))


def test_a_table_outside_the_folder_is_not_read(tmp_path):
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "metadata.csv").symlink_to(write(tmp_path, "hash_id\na\n"))
    with pytest.raises(ValueError, match="is a link out of the folder"):
        specimen_table.find_table(photos, ["metadata.csv"])


def test_a_folder_that_cannot_be_read_is_named_and_not_left_out(tmp_path, monkeypatch):
    for name in ("open", "closed"):
        (tmp_path / name).mkdir()
    scandir = os.scandir

    def refuses(path):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuses)
    with pytest.raises(PermissionError, match="closed"):
        listing.images_below(tmp_path)
    assert listing.images_below(tmp_path / "closed") == []  # as a folder that is missing
