"""The atlas: the order of its photographs and trees, thumbnails, escaping, and the file."""

import base64
import hashlib
import io
import json
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from conftest import ROOT
from PIL import Image
from scipy.cluster.hierarchy import fcluster

import atlas
import clustering
from simulation.embeddings import EmbeddingConfig, draw_embedding

NASTY = [
    "<script>window.hacked = 1</script>",
    '"><img src=x onerror="window.hacked=1">',
    "</script><b>& 'é蛾",
    "a\u2028b",
    "{{style}}",
]


def make_table(n_clusters=5, size=8, seed=0):
    """An atlas of n_clusters * size photographs: the table of `contents`, the map, and points with clear clusters."""
    random, n = np.random.default_rng(seed), n_clusters * size
    k = np.repeat(np.arange(n_clusters), size)
    table = pd.DataFrame(
        {"hash_id": [f"id{i:03d}" for i in range(n)], "path": [f"a folder/{i}#.jpg" for i in range(n)]}
    )
    table["species"] = [NASTY[c % len(NASTY)] for c in k]
    table["genus"] = [f"Genus{c // 2}" for c in k]
    table["family"] = [f"Family{c // 4}" for c in k]
    table["family_cluster"] = table["family"]
    table["genus_cluster"] = table["family"] + "/g" + pd.Series(k // 2).astype(str)
    table["species_cluster"] = table["genus_cluster"] + "/s" + pd.Series(k).astype(str)
    table = table.assign(trust=np.linspace(0.1, 0.9, n), right=(np.arange(n) % 5 > 0).astype(int))
    for name in ("decision", "duplicate_of", "given_family", "given_genus", "given_species"):
        table[name] = pd.Series(pd.NA, table.index, "string")
    shuffled = random.permutation(n)
    angle = 2 * np.pi * k / n_clusters
    within = np.stack([np.arange(n) % size % 3, np.arange(n) % size // 3], axis=1) - 1.0
    xy = np.stack([np.cos(angle), np.sin(angle)], axis=1) * 10 + within
    points = clustering.prepare(np.eye(n_clusters)[k] * 4 + random.normal(size=(n, n_clusters)), signed_sqrt=False)
    return table.iloc[shuffled].reset_index(drop=True), xy[shuffled], points[shuffled]


def colour_of(name):
    """A colour by which the thumbnail of a photograph is recognised."""
    number = int(name[2:])
    return (number * 37 % 200 + 30, number * 91 % 200 + 30, number * 53 % 200 + 30)


def write(folder, table, xy, points, **options):
    """Write an atlas with plain thumbnails; return the paths of its files, and its data."""
    data, rows = atlas.contents("mine", "mine & <yours>", table, xy, points)
    pictures = (Image.new("RGB", (96, 64), colour_of(name)) for name in table["hash_id"].iloc[rows])
    return atlas.write_atlas(folder / "atlas" / "resnet.html", data, pictures, **options), data


def unpacked(array):
    return np.frombuffer(base64.b64decode(array["data"]), array["type"].removesuffix("Array").lower())


class Scripts(HTMLParser):
    """The script elements of a page: [(attributes, text)], and the names of all elements."""

    def __init__(self, text):
        super().__init__(convert_charrefs=True)
        self.found, self.names = [], []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.names.append(tag)
        self.inside = tag == "script"
        if self.inside:
            self.found.append([dict(attrs), ""])

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        if getattr(self, "inside", False):
            self.found[-1][1] += data


def test_photographs_are_in_the_order_of_the_trees_and_noise_comes_last():
    points, taxa = draw_embedding(EmbeddingConfig(families=(1, 3, 8), photographs=10), seed=1)
    points = clustering.prepare(points)
    labels = pd.DataFrame({"family_cluster": taxa["family"].astype(str).to_numpy()})
    labels["genus_cluster"] = labels["family_cluster"] + "/" + taxa["genus"].astype(str).to_numpy()
    labels["species_cluster"] = labels["genus_cluster"] + "/" + taxa["species"].astype(str).to_numpy()
    labels.loc[[3, 7], ["genus_cluster", "species_cluster"]] = pd.NA
    rows, clusters, merges, heights = atlas.order_photographs(points, labels)
    assert sorted(rows) == list(range(len(points))) and set(rows[-2:]) == {3, 7}
    assert clusters["size"].sum() == len(points) - 2 and len(merges) == len(heights) == (clusters["size"] - 1).sum()
    start = merge = 0
    for label, size in clusters[["label", "size"]].itertuples(index=False):
        members = rows[start : start + size]
        assert (labels["species_cluster"].iloc[members] == label).all()
        if size > 2:  # the same tree as of clustering, with other numbers
            tree = np.column_stack(
                [merges[merge : merge + size - 1], heights[merge : merge + size - 1], np.zeros(size - 1)]
            )
            same = clustering.LinkageTree(points[members], method="average")
            assert np.allclose(np.sort(tree[:, 2]), np.sort(same.merges[:, 2]))
            halves, expected = fcluster(tree, 2, "maxclust"), same(2)
            assert len(set(zip(halves, expected, strict=True))) == 2
        start, merge = start + size, merge + size - 1
    families = labels["family_cluster"].iloc[rows[:-2]]
    assert (families != families.shift()).sum() == families.nunique()  # families and genera are not torn apart
    genera = labels["genus_cluster"].iloc[rows[:-2]]
    assert (genera != genera.shift()).sum() == genera.nunique()


def test_vectors_of_the_page_rank_neighbours_as_the_embedding_does():
    points, _ = draw_embedding(EmbeddingConfig(), seed=2)
    points = clustering.prepare(points)
    small = atlas.quantised(points).astype(float)
    assert small.shape[1] <= atlas.DIMENSIONS and np.abs(small).max() == 127

    def nearest(values):
        products = values @ values.T
        np.fill_diagonal(products, -np.inf)
        return np.argsort(-products, axis=1)[:, :5]

    shared = [len(set(a) & set(b)) / 5 for a, b in zip(nearest(points), nearest(small), strict=True)]
    assert np.mean(shared) > 0.9


@pytest.mark.parametrize("count", [1, 15, 16, 17, 40])
def test_pages_of_thumbnails_hold_every_photograph_in_its_cell(count):
    pictures = [
        None if i == 3 else Image.new("RGB", (64, 32) if i % 2 else (10, 20), (5 * i, 255 - 5 * i, 9))
        for i in range(count)
    ]
    pages = list(atlas.thumbnail_pages(iter(pictures), 32, side=128))
    assert len(pages) == -(-count // 16) and {page.size for page in pages} == {(128, 128)}
    for i, picture in enumerate(pictures):
        left, top = i % 16 % 4 * 32, i % 16 // 4 * 32
        middle = pages[i // 16].getpixel((left + 16, top + 16))
        assert middle == ((0, 0, 0, 0) if picture is None else (5 * i, 255 - 5 * i, 9, 255))
        assert pages[i // 16].getpixel((left, top))[3] == 0  # proportions are kept, so the corner is empty


def test_pages_are_not_larger_than_graphics_hardware_takes():
    assert atlas.SHEET <= 4096 and all(atlas.SHEET % size < size for _, size in atlas.CELLS)
    assert atlas.cell_size(1) >= atlas.cell_size(10_000) >= atlas.cell_size(1_000_000) >= 32


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    table, xy, points = make_table()
    paths, _ = write(tmp_path_factory.mktemp("atlas"), table, xy, points)
    return table, xy, paths[0].read_text(encoding="utf-8")


def test_names_cannot_become_elements(written):
    table, _, text = written
    page = Scripts(text)
    assert "window.hacked" in text and "<script>window" not in text and "<img" not in text
    assert page.names.count("script") == 1 + 1 + len(atlas.SCRIPTS)  # the data, a page of thumbnails, the code
    kinds = [attributes.get("type", "code") for attributes, _ in page.found]
    assert kinds == ["application/json", "text/plain", *["code"] * len(atlas.SCRIPTS)]
    data = json.loads(page.found[0][1])
    assert set(data["names"]["species"]) == set(table["species"])
    assert "<title>mine &amp; &lt;yours&gt;</title>" in text


def test_the_page_may_connect_to_nothing_and_run_only_its_own_code(written):
    page = Scripts(written[2])
    (policy,) = [line for line in written[2].splitlines() if "Content-Security-Policy" in line]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy.split("content=")[1]
    assert not [attributes for attributes, _ in page.found if "src" in attributes]
    assert "Vis.gl contributors" in written[2]  # the licence asks for its notice


def test_the_library_is_the_one_that_is_documented():
    documented = (ROOT / "docs" / "atlas.md").read_text()
    names = [name for name in atlas.SCRIPTS if name.startswith("vendor/")]
    assert len(names) == 2
    for name in names:
        digest = hashlib.sha256((atlas.HERE / name).read_bytes()).hexdigest()
        assert f"{digest}  {name.removeprefix('vendor/')}" in documented


def test_data_of_the_page_are_those_of_the_dataset(written):
    table, xy, text = written
    data = json.loads(Scripts(text).found[0][1])
    place = pd.Series(range(len(table)), table["hash_id"])[data["ids"]].to_numpy()
    rows = table.iloc[place]
    assert data["paths"] == rows["path"].tolist()
    found = unpacked(data["arrays"]["xy"]).reshape(-1, 2)
    assert np.allclose(np.corrcoef(found[:, 0], xy[place, 0])[0, 1], 1) and np.ptp(
        found, axis=0
    ).max() == pytest.approx(1000)
    labels = np.repeat(data["clusters"]["label"], data["clusters"]["size"])
    assert labels.tolist() == rows["species_cluster"].tolist()
    for rank in ("family", "genus", "species"):
        assert [data["names"][rank][code] for code in unpacked(data["arrays"][rank])] == rows[rank].tolist()
    assert np.allclose(unpacked(data["arrays"]["trust"]), rows["trust"])
    assert unpacked(data["arrays"]["correct"]).tolist() == rows["right"].tolist()


def test_many_thumbnails_lie_beside_the_page_and_old_ones_are_removed(tmp_path):
    table, xy, points = make_table()
    (tmp_path / "atlas").mkdir()
    old, other = tmp_path / "atlas" / "resnet.page-7.js", tmp_path / "atlas" / "resnet50.page-0.js"
    old.touch(), other.touch()
    paths, _ = write(tmp_path, table, xy, points, max_inside=100)
    assert [path.name for path in paths] == ["resnet.html", "resnet.page-0.js"]
    assert not old.exists() and other.exists()
    assert "page-0" not in paths[0].read_text().split('id="data"')[0] and 'id="page-0"' not in paths[0].read_text()
    paths, _ = write(tmp_path, table, xy, points)
    assert [path.name for path in paths] == ["resnet.html"] and sorted(p.name for p in paths[0].parent.iterdir()) == [
        "resnet.html",
        "resnet50.page-0.js",
    ]


@pytest.mark.parametrize("n", [1, 2, 3])
def test_very_few_photographs(tmp_path, n):
    table, xy, points = make_table(1, 3)
    paths, data = write(tmp_path, table.iloc[:n].assign(family=pd.NA, genus=pd.NA, species=pd.NA), xy[:n], points[:n])
    assert len(data["ids"]) == n and data["names"] == {"family": [], "genus": [], "species": []} and paths[0].is_file()


# ----------------------------------------------------------------------------------------- the review, outside a page


def review_after(table, xy, points, decisions):
    """The rows of review.csv, by hash_id, that the model writes for an atlas of `table` after some JavaScript `decisions`."""
    if not shutil.which("node"):
        pytest.skip("node is not installed")
    data, _ = atlas.contents("mine", "mine", table, xy, points)
    data = data | {"review": data.get("review") or {}}
    model = (ROOT / "atlas" / "model.js").read_text()
    script = f"{model}\nconst atlas = new Atlas({json.dumps(data, default=str)});\n{decisions}\nconsole.log(atlas.csv());"
    done = subprocess.run(["node", "-"], input=script, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return pd.read_csv(io.StringIO(done.stdout), dtype="string").set_index("hash_id")


def test_a_family_that_a_person_corrected_is_still_corrected_in_the_next_atlas():
    table, xy, points = make_table()
    first = review_after(table, xy, points, "atlas.name([0], {family: 'Noctuidae', genus: '', species: ''});")
    assert len(first) == 8 and set(first["family"]) == {"Noctuidae"} and first["genus"].isna().all()
    named = table["hash_id"].isin(first.index)
    again = table.assign(decision=table["decision"].mask(named, "edited"))
    again = again.assign(given_family=table["family"].mask(named, "Noctuidae"))
    second = review_after(again, xy, points, "")
    assert second["family"].sort_index().equals(first["family"].sort_index())


def test_a_duplicate_of_noise_is_saved_again():
    table, xy, points = make_table()
    original, copy = table["hash_id"][:2]
    lost = table["hash_id"].isin([original, copy])
    table.loc[lost, ["genus_cluster", "species_cluster"]] = pd.NA
    table.loc[table["hash_id"] == original, "decision"] = "noise"
    table.loc[table["hash_id"] == copy, ["decision", "duplicate_of"]] = ["duplicate", original]
    saved = review_after(table, xy, points, "")
    assert saved["decision"].to_dict() == {original: "noise", copy: "duplicate"} and saved.loc[copy, "duplicate_of"] == original
