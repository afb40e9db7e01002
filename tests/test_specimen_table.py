"""Names of taxa from folders."""

import pandas as pd
import pytest

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
