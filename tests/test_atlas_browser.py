"""The atlas in a browser: Chromium without a window opens the file from disk. Skipped where it or playwright is absent."""

import io
import shutil
import time

import numpy as np
import pandas as pd
import pytest
from PIL import Image
from test_atlas import NASTY, colour_of, make_table, write

import review

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SOFTWARE = [
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--no-sandbox",
]  # graphics without a graphics card


@pytest.fixture(scope="module")
def browser():
    program = next(filter(None, map(shutil.which, BROWSERS)), None)
    if program is None:
        pytest.skip(f"no browser is installed: {', '.join(BROWSERS)}")
    with sync_api.sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=program, args=SOFTWARE)
        yield running
        running.close()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    table, xy, points = make_table()
    paths, data = write(tmp_path_factory.mktemp("atlas"), table, xy, points)
    return table.set_index("hash_id").loc[data["ids"]].reset_index(), paths[0]


class Opened:
    """A page of the browser with an atlas, and what went wrong in it."""

    def __init__(self, context, path):
        self.errors, self.requests = [], []
        self.page = context.new_page()
        self.page.on(
            "console",
            lambda message: self.errors.append(message.text) if message.type in ("error", "warning") else None,
        )
        self.page.on("pageerror", lambda error: self.errors.append(str(error)))
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(path.as_uri())
        self.ready()

    def ready(self):
        self.until("globalThis.app?.map.frames > 0 && Boolean(app.map.shown)")

    def until(self, script, *values, seconds=20):
        """Wait until a script is true. (playwright's own way evaluates text in the page, which the page forbids.)"""
        end = time.monotonic() + seconds
        while not self(script, *values):
            assert time.monotonic() < end, f"{script} did not become true"
            time.sleep(0.05)

    def __call__(self, script, *values):
        return self.page.evaluate(script, *values)

    def chosen(self):
        return set(self("app.chosen ? [...app.chosen].map(row => app.atlas.data.ids[row]) : null") or [])

    def in_grid(self):
        return set(self("[...document.querySelectorAll('.tile')].map(tile => app.atlas.data.ids[tile.dataset.row])"))

    def tree(self, label):
        """Choose a cluster in the tree by its number, after its parents are opened."""
        k = self("label => app.atlas.clusters.findIndex(one => one.label === label)", label)
        self("k => app.tree.reveal(k)", k)
        self.page.locator(f"[data-key='c{k}'] > .node").click()

    def keys(self, *names):
        for name in names:
            self.page.keyboard.press(name)

    def status(self):
        return self.page.locator("#status").inner_text()

    def saved(self, folder):
        """Press the key that saves; the review as a table."""
        with self.page.expect_download() as download:
            self.keys("x")
        path = folder / "review.csv"
        download.value.save_as(path)
        return path


@pytest.fixture(scope="module")
def shared(browser, files):
    """One page for all tests: drawing without a graphics card takes time."""
    context = browser.new_context(viewport={"width": 1000, "height": 600}, accept_downloads=True)
    yield Opened(context, files[1])
    context.close()


@pytest.fixture
def opened(shared, files):
    """The shared page as if it had just been opened. Afterwards nothing went wrong, and nothing was asked from a network."""
    shared("while (app.atlas.history.length) app.atlas.undo()")
    shared("app.log = [], localStorage.clear(), app.lasso(false), app.tree.open.clear(), app.tree.build()")
    shared("app.all(), app.map.fit(), document.activeElement.blur()")
    shared("app.recolour('family'), app.current = -1, app.map.thumbsOn || app.thumbs()")
    yield shared
    assert not shared.errors
    assert files[1].as_uri() in shared.requests and {u for u in shared.requests if not u.startswith("blob:")} == {
        files[1].as_uri()
    }


def test_it_opens_from_disk_and_shows_names_as_text(opened, files):
    table, _ = files
    assert opened.page.title() == "mine & <yours>"
    assert (
        opened("typeof window.hacked") == "undefined"
        and opened("document.querySelectorAll('#grid img, #tree script').length") == 0
    )
    assert opened.in_grid() == set(table["hash_id"]) and opened.chosen() == set()
    legend = opened.page.locator("#legend").inner_text()
    assert "Family0 (32)" in legend and "Family1 (8)" in legend


def hover(opened, row):
    """Move the pointer to a photograph on the map; return the text that appears."""
    box, (x, y) = opened.page.locator("#canvas").bounding_box(), opened("row => app.map.toScreen(row)", row)
    opened.page.mouse.move(box["x"] + 5, box["y"] + 5)
    opened.until("document.querySelector('#card').hidden")
    opened.page.mouse.move(box["x"] + x, box["y"] + y)
    opened.until("!document.querySelector('#card').hidden")
    return opened.page.locator("#card").inner_text()


@pytest.mark.parametrize("drawn", ["thumbnails", "dots", "dots close up"])
def test_hovering_shows_the_specimen_under_the_pointer(opened, files, drawn):
    table, _ = files
    rows = opened("app.map.shown.slice(0, 2)") if drawn == "thumbnails" else [0, 17, 39]
    if drawn != "thumbnails":
        opened.keys("t")
    if drawn == "dots close up":  # dots elsewhere are not drawn
        opened("app.map.show([17, 18])")
        opened.until("Boolean(app.map.drawn.rows)")
        rows = [17, 18]
        assert 0 < len(opened("app.map.drawn.rows")) < 20
    for row in rows:
        text = hover(opened, row)
        assert text.startswith(table["hash_id"][row]) and f"cluster {table['species_cluster'][row]}" in text
        assert " ".join(table["species"][row].split()) in " ".join(text.split())
        assert f"trust {table['trust'][row]:.2f}" in text
        assert ("of another species than most" in text) == (table["right"][row] == 0)
        shot = opened.page.locator("#card > .sprite").screenshot()
        middle = Image.open(io.BytesIO(shot)).convert("RGB").getpixel((64, 64))
        assert np.abs(np.subtract(middle, colour_of(table["hash_id"][row]))).max() < 16  # its own thumbnail
        near = opened("row => app.atlas.nearest([row], 5)", row)
        assert (table["species_cluster"][near] == table["species_cluster"][row]).mean() >= 0.6
        assert opened.page.locator("#card .near .sprite").count() == 5
    assert opened("typeof window.hacked") == "undefined"


def test_a_click_on_the_map_chooses_the_cluster_and_picks_the_photograph(opened, files):
    table, _ = files
    opened.keys("t")
    box, (x, y) = opened.page.locator("#canvas").bounding_box(), opened("app.map.toScreen(20)")
    opened.page.mouse.click(box["x"] + x, box["y"] + y)
    opened.until("app.picked.has(20)")
    cluster = table["species_cluster"][20]
    assert opened.chosen() == opened.in_grid() == set(table["hash_id"][table["species_cluster"] == cluster])
    chosen = opened.page.locator("[role=treeitem][aria-selected=true]")
    assert chosen.get_attribute("aria-label").startswith(cluster.split("/")[-1])
    assert opened.page.locator("#detail b").inner_text() == table["hash_id"][20]
    link = "../photos/a%20folder/" + table["path"][20].removeprefix("a folder/").replace("#", "%23")
    assert opened.page.locator("#detail a").get_attribute("href") == link


def test_search_finds_ids_names_and_clusters(opened, files):
    table, _ = files
    search = opened.page.locator("#search")
    for text, expected in (
        ("ID01", table["hash_id"].str.contains("id01")), ("<SCRIPT>", table["species"] == NASTY[0]),
        ("genus1", table["genus"] == "Genus1"), ("family1/g2/s4", table["species_cluster"] == "Family1/g2/s4"),
    ):  # fmt: skip
        search.fill(text)
        search.press("Enter")
        assert opened.chosen() == opened.in_grid() == set(table["hash_id"][expected])
    search.fill("nowhere to be found")
    search.press("Enter")
    assert "nothing found" in opened.status()


def test_recolouring_changes_legend_and_map(opened):
    seen = {tuple(opened("[...app.map.fill]"))}
    for mode, words in (
        ("trust", "0.75"), ("right", "another species"), ("cluster", "Family0/g0/s0 (8)"), ("decision", "not decided"),
        ("genus", "Genus0 (16)"),
    ):  # fmt: skip
        opened.page.select_option("#colour", mode)
        assert words in opened.page.locator("#legend").inner_text()
        seen.add(tuple(opened("[...app.map.fill]")))
    assert len(seen) == 6
    trust = opened("app.atlas.trust[0]")
    opened.page.select_option("#colour", "trust")
    assert opened("app.map.fill.slice(0, 3).join()") == opened("value => scale(value).join()", trust)


def test_the_lasso_chooses_and_picks_what_lies_inside(opened, files):
    table, _ = files
    members = np.flatnonzero(table["species_cluster"] == "Family0/g1/s2")
    box = opened.page.locator("#canvas").bounding_box()
    spots = np.add([opened("row => app.map.toScreen(row)", int(row)) for row in members], (box["x"], box["y"]))
    (left, top), (right, bottom) = spots.min(axis=0) - 12, spots.max(axis=0) + 12
    opened.keys("l")
    opened.page.mouse.move(left, top)
    opened.page.mouse.down()
    for corner in ((right, top), (right, bottom), (left, bottom)):
        opened.page.mouse.move(*corner, steps=3)
    opened.page.mouse.up()
    assert opened.chosen() == opened.in_grid() == set(table["hash_id"][members])
    assert opened("app.picked.size") == len(members) and "lasso: 8 photographs of 1 cluster" in opened.status()
    assert opened.page.locator("#lasso").get_attribute("aria-pressed") == "false"


def test_the_tree_is_walked_with_keys_and_the_others_follow(opened, files):
    table, _ = files
    first = opened.page.locator("[role=tree] [tabindex='0']")
    first.focus()
    opened.keys("Enter")
    assert opened.chosen() == set(table["hash_id"][table["family"] == "Family0"])
    opened.keys(
        "ArrowRight", "ArrowDown", "ArrowRight", "ArrowDown", "Enter"
    )  # into the first genus, its first species
    k = int(opened("document.activeElement.dataset.key").removeprefix("c"))
    label = opened("k => app.atlas.clusters[k].label", k)
    assert opened.chosen() == opened.in_grid() == set(table["hash_id"][table["species_cluster"] == label])
    opened.keys("ArrowRight", "ArrowDown", "Enter")  # its first branch
    branch = opened.chosen()
    assert 0 < len(branch) < 8 and branch <= set(table["hash_id"][table["species_cluster"] == label])
    item = opened.page.locator("[role=treeitem][aria-selected=true]")
    assert item.get_attribute("aria-level") == "4" and f"{len(branch)} photographs" in item.get_attribute("aria-label")
    faint = opened("[...app.map.fill].filter((_, i) => i % 4 === 3)")
    assert sum(value > 200 for value in faint) == len(branch)  # the map dims all others


def test_thumbnails_take_the_place_of_dots_where_there_is_room(opened):
    few = opened("app.map.shown.length")
    opened.keys("+", "+", "+")
    opened.until("few => app.map.shown.length !== few", few)
    opened("app.map.show([0, 1, 2])")
    opened.until("app.map.shown.includes(0)")
    opened.keys("t")
    opened.until("app.map.shown.length === 0")


class TestReview:
    def test_accepting_goes_on_to_the_next_cluster_and_undo_takes_it_back(self, opened, tmp_path):
        opened.tree("Family0/g0/s0")
        opened.keys("a", "a")
        assert (
            opened("app.atlas.decided()") == 16 and "16 of 40 decided" in opened.page.locator("#progress").inner_text()
        )
        table = pd.read_csv(opened.saved(tmp_path))
        assert set(table["decision"]) == {"accepted"} and "Family0/g0/s0" in set(table["cluster"])
        opened.keys("u", "Control+z")
        assert opened("app.atlas.decided()") == 0 and opened.page.locator("#undo").is_disabled()

    def test_split_merge_and_undo_give_back_what_was(self, opened, files):
        before = opened("[...app.atlas.cluster]")
        opened.tree("Family0/g0/s1")
        opened.keys("s")
        parts = opened("app.targets().map(k => app.atlas.members(k).length)")
        assert len(parts) == 2 and sum(parts) == 8
        labels = opened("app.targets().map(k => app.atlas.clusters[k].label)")
        assert labels == ["Family0/g0/s1", "Family0/g0/r1"] and opened("[...app.atlas.cluster]") != before
        opened.keys("m")
        assert opened("app.targets().map(k => app.atlas.members(k).length)") == [8]
        opened.keys("u", "u")
        assert opened("[...app.atlas.cluster]") == before and opened("app.atlas.decided()") == 0

    def test_a_chosen_branch_is_split_off(self, opened):
        opened.tree("Family1/g2/s4")
        opened.keys("ArrowRight", "ArrowDown", "ArrowRight", "ArrowDown", "Enter")
        branch = opened.chosen()
        opened.keys("s")
        parts = opened("app.targets().map(k => app.atlas.members(k).map(row => app.atlas.data.ids[row]))")
        assert any(set(part) == branch for part in parts) and sum(map(len, parts)) == 8

    def test_a_cluster_grows_by_the_nearest_photographs(self, opened, files):
        opened.tree("Family0/g1/s2")
        k = opened("app.targets()[0]")
        opened.keys("g")
        offered = opened("[...app.growing.candidates]")
        assert len(offered) == 32 and not set(offered) & set(opened("k => app.atlas.members(k)", k))
        opened.keys(" ", "ArrowRight", " ", "Enter")
        assert opened("k => app.atlas.members(k).length", k) == 10
        assert set(opened("k => app.atlas.members(k)", k)) >= set(offered[:2])
        assert "offered" in opened.status()  # and it goes on
        opened.keys("Escape", "u")
        assert opened("k => app.atlas.members(k).length", k) == 8

    def test_a_photograph_grows_into_a_cluster(self, opened):
        row = 5
        opened("row => { app.all(); app.pick(row, 'one'); }", row)
        opened.keys("g", " ", "Enter")
        made = opened("app.atlas.clusters.length - 1")
        assert len(opened("k => app.atlas.members(k)", made)) == 2 and row in opened("k => app.atlas.members(k)", made)

    def test_names_have_their_parents_filled_in(self, opened, tmp_path):
        opened.tree("Family0/g0/s0")
        opened.keys("e")
        opened.page.locator("#name-species").fill(NASTY[4])
        assert opened.page.locator("#name-genus").get_attribute("placeholder") == "Genus2"
        opened.page.locator("#name-species").press("Enter")
        opened.until("document.querySelector('#status').textContent.startsWith('named ')")
        opened.tree("Family0/g1/s3")
        opened.keys("e")
        opened.page.locator("#name-species").fill("Agrotis segetum")
        opened.page.locator("#name-ok").click()
        opened.until("document.querySelector('#status').textContent === 'named Agrotis segetum'")
        table = pd.read_csv(opened.saved(tmp_path)).set_index("cluster").drop_duplicates()
        known = table.loc["Family0/g0/s0"].iloc[0]
        assert known[["family", "genus", "scientificName", "taxonRank"]].tolist() == [
            "Family1",
            "Genus2",
            NASTY[4],
            "species",
        ]
        new = table.loc["Family0/g1/s3"].iloc[0]
        assert new[["family", "genus", "scientificName"]].tolist() == ["Family0", "Agrotis", "Agrotis segetum"]
        assert new["taxonID"] == "mine:Agrotis segetum" and new["decision"] == "edited"
        assert new["identificationRemarks"].startswith("cluster Family0/g1/s3, edited by a person, trust 0.")

    def test_decisions_are_there_after_a_reload_and_what_is_saved_can_be_read(self, opened, files, tmp_path):
        table, _ = files
        opened.tree("Family0/g0/s0")
        opened.keys("a")
        opened("app.all(), app.pick(30, 'one')")
        opened.keys("n")
        opened("app.all(), app.pick(31, 'one'), app.pick(33, 'toggle')")
        opened.keys("d")
        opened.tree("Family0/g1/s3")
        opened.keys("s", "u", "s")
        text = opened("app.atlas.csv()")
        opened.page.on("dialog", lambda dialog: dialog.accept())
        opened.page.reload()
        opened.ready()
        assert opened("app.atlas.csv()") == text and opened("app.atlas.history.length") == 4
        decided, rejected = review.read_review(opened.saved(tmp_path), table["hash_id"])
        assert rejected.empty and decided["decision"].value_counts().to_dict() == {
            "accepted": 8,
            "edited": 7,
            "noise": 1,
            "duplicate": 1,
        }
        ids = table["hash_id"]
        assert decided.set_index("hash_id").loc[ids[33], ["decision", "duplicate_of"]].tolist() == [
            "duplicate",
            ids[31],
        ]


def test_a_review_in_the_data_is_shown_and_saved_again(browser, tmp_path):
    table, xy, points = make_table()
    row = {name: i for i, name in enumerate(table["hash_id"])}
    inside = table["species_cluster"] == "Family0/g0/s0"
    table.loc[inside, ["decision", "given_family", "given_genus", "given_species"]] = ["accepted", "F", "G", "G s"]
    noise, copy = table["hash_id"][table["species_cluster"] == "Family1/g2/s4"].iloc[:2]
    table.loc[row[noise], "decision"] = "noise"
    table.loc[row[noise], ["genus_cluster", "species_cluster"]] = pd.NA
    table.loc[row[copy], ["decision", "duplicate_of"]] = ["duplicate", table["hash_id"][inside].iloc[0]]
    table.loc[row[copy], "species_cluster"] = "Family0/g0/s0"
    paths, _ = write(tmp_path, table, xy, points)
    context = browser.new_context(viewport={"width": 400, "height": 760}, accept_downloads=True)  # a phone
    opened = Opened(context, paths[0])
    decided, rejected = review.read_review(opened.saved(tmp_path), table["hash_id"])
    decided = decided.set_index("hash_id")
    assert rejected.empty and len(decided) == 10
    accepted = decided[decided["decision"] == "accepted"]
    assert set(accepted.index) == set(table["hash_id"][inside]) and set(accepted["scientificName"]) == {"G s"}
    assert (
        decided.loc[noise, "decision"] == "noise"
        and decided.loc[copy, "duplicate_of"] == table["hash_id"][inside].iloc[0]
    )
    for view in ("tree", "map", "photographs"):
        opened.page.locator(f"#tabs button[data-view={view}]").click()
        assert opened.page.locator(f"#{view}").is_visible()
        assert sum(opened.page.locator(f"#{other}").is_visible() for other in ("tree", "map", "photographs")) == 1
    assert opened("document.documentElement.scrollWidth <= innerWidth")
    assert not opened.errors
    context.close()


def test_thumbnails_beside_the_file_are_read_without_a_network(browser, tmp_path):
    table, xy, points = make_table()
    paths, _ = write(tmp_path, table, xy, points, max_inside=0)
    context = browser.new_context(viewport={"width": 1000, "height": 600})
    opened = Opened(context, paths[0])
    opened.until("getComputedStyle(document.querySelector('.tile .sprite')).backgroundImage.startsWith('url')")
    files = [url for url in opened.requests if not url.startswith("blob:")]
    assert files == [path.as_uri() for path in paths] and not opened.errors
    opened.until("!!app.sprites.bitmaps.get(0)")
    paths[1].unlink()
    opened.page.reload()
    opened.until("document.querySelector('#status').textContent.includes('is missing: it belongs beside this file')")
    context.close()
