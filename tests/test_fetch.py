"""Photographs from a server that delays, cuts off and refuses; tables of addresses; a local server in place of Kaggle."""

import hashlib
import http.server
import io
import shutil
import threading
import time
import zipfile

import pandas as pd
import pytest
from conftest import ROOT, draw_specimens, encoded
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

import fetch
from settings import BadSetting, Settings, load_stored


class Server(http.server.ThreadingHTTPServer):
    """Answers a path with the next of its answers, (status, content, headers) or a function; the last one stays."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.answers, self.asked = {}, []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def handle_error(self, *_):
        pass  # a client that gave up


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        answers = self.server.answers.get(self.path, [(404, b"", {})])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            answer(self)
            return
        status, content, headers = answer
        self.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        self.wfile.write(content)

    do_POST = do_GET

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    running = Server()
    threading.Thread(target=running.serve_forever, daemon=True).start()
    yield running
    running.shutdown()
    running.server_close()


@pytest.fixture(scope="module")
def images():
    return [encoded(image) for image in draw_specimens(6)]


def table(server, *names, **columns):
    """Rows as read_table returns them, of photographs at these paths of the server."""
    rows = dict.fromkeys(("family", "genus", "species", "licence", "attribution", "sha256"), "") | columns
    return pd.DataFrame({"id": names, "url": [f"{server.url}/{name}" for name in names]}).assign(**rows)


def fetched(rows, folder):
    client = fetch.session(workers=4, pause=0.01)
    return fetch.fetch_photographs(rows, folder, client, workers=4, pause=0.01).set_index("hash_id")


def cut_off(content):
    def answer(handler):
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(content)))
        handler.end_headers()
        handler.wfile.write(content[: len(content) // 2])
        handler.close_connection = True

    return answer


# ---- photographs ---------------------------------------------------------------------------------------------------


def test_what_a_server_refuses_once_is_fetched_and_what_is_gone_is_reported(server, images, tmp_path):
    whole = (200, images[0], {})
    server.answers = {
        "/plain": [whole],
        "/busy": [(503, b"", {}), (429, b"", {"Retry-After": 0}), whole],
        "/broken": [(500, b"", {}), whole],
        "/cut": [cut_off(images[0]), whole],
        "/png": [(200, encoded(Image.new("RGB", (8, 8)), "PNG"), {})],
        "/webp": [(200, encoded(Image.new("RGB", (8, 8)), "WEBP"), {})],
        "/secret": [(403, b"", {})],
        "/removed": [(410, b"", {})],
        "/page": [(200, b"<html>sign in</html>", {})],
        "/always": [(500, b"", {})],
        "/half": [cut_off(images[0])],
    }
    names = [path.strip("/") for path in server.answers]
    manifest = fetched(table(server, *names, "nowhere", licence="CC-BY", attribution="=a person"), tmp_path)
    assert manifest["status"].to_dict() == dict.fromkeys(names[:6], "fetched") | {
        "secret": "forbidden",
        "removed": "gone",
        "page": "no photograph",
        "always": "HTTP 500",
        "half": "cut off",
        "nowhere": "not found",
    }
    there = manifest[manifest["status"] == "fetched"]
    assert sorted(path.name for path in (tmp_path / "photos").iterdir()) == sorted(there["file"])
    assert sorted(there["file"]) == ["broken.jpeg", "busy.jpeg", "cut.jpeg", "plain.jpeg", "png.png", "webp.webp"]
    for row in there.itertuples():
        content = (tmp_path / "photos" / row.file).read_bytes()
        assert hashlib.sha256(content).hexdigest() == row.sha256 and str(len(content)) == row.bytes
    assert set(manifest["licence"]) == {"CC-BY"} and set(manifest["attribution"]) == {"=a person"}
    assert "'=a person" in (tmp_path / "manifest.csv").read_text()  # no formula in a spreadsheet
    assert server.asked.count("/always") == 5 and server.asked.count("/nowhere") == 1


def test_a_second_call_asks_only_for_what_may_come(server, images, tmp_path):
    server.answers = {"/a": [(200, images[0], {})], "/b": [(200, images[1], {})], "/c": [(500, b"", {})]}
    rows = table(server, "a", "b", "c", "gone")
    first = fetched(rows, tmp_path)
    server.asked.clear()
    server.answers["/c"] = [(200, images[2], {})]
    (tmp_path / "photos" / "b.jpeg").write_bytes(images[1][:100])
    second = fetched(rows, tmp_path)
    assert sorted(server.asked) == ["/b", "/c"]
    assert second["status"].to_dict() == {"a": "fetched", "b": "fetched", "c": "fetched", "gone": "not found"}
    assert first.loc["a"].equals(second.loc["a"])
    assert len(fetch.read_manifest(tmp_path / "manifest.csv")) == 4


def test_one_bad_row_does_not_stop_the_others(server, images, tmp_path):
    many = PngImagePlugin.PngInfo()
    many.add_text("comment", "a" * 2_000_000, zip=True)  # more than Pillow unpacks
    stream = io.BytesIO()
    Image.new("RGB", (8, 8)).save(stream, "PNG", pnginfo=many)
    server.answers = {"/good": [(200, images[0], {})], "/also": [(200, images[1], {})], "/text": [(200, stream.getvalue(), {})]}
    rows = table(server, "good", "text", "bracket", "dots", "also", attribution="Jane\rDoe, \"=1\"")
    rows.loc[2:3, "url"] = ["http://[broken/x.jpg", "http://a..b/x.jpg"]
    found = fetched(rows, tmp_path)
    status = found["status"].to_dict()
    assert status["good"] == status["also"] == "fetched" and status["text"] == "no photograph"
    assert status["bracket"].startswith("no answer") and status["dots"].startswith("no answer")
    assert (found["attribution"] == "Jane\rDoe, \"=1\"").all()


def test_a_photograph_of_another_format_replaces_the_old_one(server, images, tmp_path):
    server.answers = {"/a": [(200, encoded(Image.new("RGB", (8, 8)), "PNG"), {})], "/b": [(200, images[0], {})]}
    fetched(table(server, "a"), tmp_path)
    fetched(table(server, "a").assign(url=f"{server.url}/b"), tmp_path)
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.jpeg"]


def test_an_interrupted_call_goes_on(server, images, tmp_path):
    names = [f"p{number}" for number in range(6)]
    server.answers = {f"/{name}": [(200, image, {})] for name, image in zip(names, images, strict=True)}
    rows = table(server, *names)
    fetched(rows.head(3), tmp_path)
    path = tmp_path / "manifest.csv"
    path.write_text(path.read_text() + "p3,http://some")  # the process was killed in the middle of a line
    (tmp_path / "photos" / "p4.jpeg").write_bytes(b"written, but not yet in the manifest")
    server.asked.clear()
    manifest = fetched(rows, tmp_path)
    assert sorted(server.asked) == ["/p3", "/p4", "/p5"] and set(manifest["status"]) == {"fetched"}
    assert [(tmp_path / "photos" / f"{name}.jpeg").read_bytes() for name in names] == images


def test_a_slow_server_is_given_up(server, images, tmp_path):
    server.answers = {"/slow": [lambda handler: time.sleep(1)]}
    client = fetch.session(pause=0.01)
    with pytest.raises(fetch.NotFetched, match=r"no answer \((ConnectionError|ReadTimeout)\)"):
        fetch.fetch_one(client, f"{server.url}/slow", tmp_path / "slow", timeout=0.05, attempts=1, pause=0.01)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://host/a.jpg", "a.jpg", "", "http://"])
def test_only_http_addresses_are_asked(url, tmp_path):
    with pytest.raises(fetch.NotFetched):
        fetch.fetch_one(fetch.session(pause=0), url, tmp_path / "a", attempts=1)
    assert not list(tmp_path.iterdir())


def test_too_large_and_changed_photographs_are_not_kept(server, images, tmp_path, monkeypatch):
    server.answers = {"/a": [(200, images[0], {})]}
    manifest = fetched(table(server, "a", sha256="0" * 64), tmp_path)
    assert manifest.loc["a", "status"] == "another SHA-256 than the table says"
    monkeypatch.setattr(fetch, "LARGEST", 10)
    assert fetched(table(server, "a"), tmp_path).loc["a", "status"] == "larger than 100 MB"
    assert not list((tmp_path / "photos").iterdir())


# ---- tables --------------------------------------------------------------------------------------------------------


def test_columns_are_known_by_the_names_of_others(tmp_path):
    path = tmp_path / "observations.tsv"
    path.write_text("photo_id\tscientificName\tFamily\timage_url\tlicense\n7\tAgrotis segetum\tNoctuidae\thttp://a\tCC0\n")
    (row,) = fetch.read_table(path).to_dict("records")
    assert row == {
        "url": "http://a", "id": "7", "family": "Noctuidae", "genus": "", "species": "Agrotis segetum", "licence": "CC0",
        "attribution": "", "sha256": "",
    }  # fmt: skip
    table = pd.DataFrame({"url": ["http://a", None, "http://b", ""], "family": ["A", "A", None, "A"]})
    table.to_parquet(tmp_path / "t.parquet")
    rows = fetch.read_table(tmp_path / "t.parquet")  # without ids, a row without an address is of no use
    assert rows["family"].tolist() == ["A", ""] and rows["id"].nunique() == 2


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("photo_id,family\n1,A\n", "has no column photo_url, image_url"),
        ("photo_id,url\n../../x,http://a\n", "'../../x' cannot be the name of a file"),
        ("photo_id,url\n,http://a\n", "'' cannot be the name of a file"),
        ("photo_id,url\n1,http://a\n1,http://b\n", "the id 1 appears twice"),
        ("", "has no column"),
        ('photo_id,url\n1,"http', "cannot be read"),
    ],
)
def test_a_bad_table_is_named_in_one_line(content, message, tmp_path):
    path = tmp_path / "list.csv"
    path.write_text(content)
    with pytest.raises(BadSetting, match=message) as caught:
        fetch.read_table(path)
    assert "\n" not in str(caught.value)


@given(st.data())
def test_a_chosen_part_has_whole_families_and_no_more_than_was_asked(data):
    rows = [
        {"id": f"{family}{species}{photo}", "family": f"F{family}", "genus": f"G{family}", "species": f"s{species}"}
        for family in range(data.draw(st.integers(1, 4)))
        for species in range(data.draw(st.integers(1, 5)))
        for photo in range(data.draw(st.integers(1, 5)))
    ]
    rows = pd.DataFrame(rows)
    n_species, most, photos = (data.draw(st.integers(1, 6)) for _ in range(3))
    chosen = fetch.choose(rows, n_species, most, photos, seed=1)
    name = ["family", "species"]  # epithets are shared
    usable = rows[rows.groupby(name)["id"].transform("size") >= 2].drop_duplicates(name)
    available = usable.groupby("family").size().clip(upper=most)
    assert chosen.groupby(name).ngroups == min(n_species, available.sum())
    assert chosen.groupby(name).size().le(photos).all() and chosen["id"].is_unique
    assert chosen.groupby("family")["species"].nunique().le(most).all()
    cut = [f for f, count in chosen.groupby("family")["species"].nunique().items() if count < available[f]]
    assert len(cut) <= 1  # only the last family may be incomplete
    shuffled = fetch.choose(rows.sample(frac=1, random_state=3), n_species, most, photos, seed=1)
    assert shuffled["id"].tolist() == chosen["id"].tolist()


def test_the_size_of_an_inaturalist_photograph():
    url = "https://inaturalist-open-data.s3.amazonaws.com/photos/210/original.jpeg"
    assert fetch.of_size(url, "medium") == "https://inaturalist-open-data.s3.amazonaws.com/photos/210/medium.jpeg"
    assert fetch.of_size(url, "") == url
    assert fetch.of_size("https://elsewhere.org/photos/210/original.jpg", "medium") == "https://elsewhere.org/photos/210/original.jpg"


# ---- datasets ------------------------------------------------------------------------------------------------------


def test_a_list_becomes_a_dataset_that_chapter_01_reads(server, images, project):
    server.answers = {f"/{number}": [(200, image, {})] for number, image in enumerate(images)}
    rows = table(server, *map(str, range(len(images))), "8", family="Fam", genus="Gen", species="Gen spec")
    project.root.joinpath("list.csv").write_text(rows.rename(columns={"id": "photo_id"}).to_csv(index=False))
    done = project.make("fetch", "DATASET=mine", "LIST=list.csv", separate=True)
    assert "6 of 7 photographs are in" in done.stdout and "1 not fetched: not found" in done.stdout
    stored = project.data("mine", "config.yaml").read_text()
    assert "source: data/mine/fetched" in stored and "csv: metadata.csv" in stored
    project.make("data/mine/metadata.parquet", "DATASET=mine")
    metadata = pd.read_parquet(project.data("mine", "metadata.parquet"))
    assert sorted(metadata["hash_id"]) == list("012345") and set(metadata["species"]) == {"Gen spec"}


def test_nothing_fetched_is_an_error_and_stores_nothing(server, in_tmp):
    (in_tmp / "list.csv").write_text(f"photo_id,url\n1,{server.url}/1\n")
    with pytest.raises(fetch.NotFetched, match=r"none of 1 photographs could be fetched \(not found\)"):
        fetch.fetch("mine", str(in_tmp / "list.csv"))
    assert load_stored("mine") == {}
    (in_tmp / "list.csv").write_text("photo_id,url\n")
    with pytest.raises(fetch.NotFetched, match="none of 0 photographs could be fetched \\(the table lists none"):
        fetch.fetch("mine", str(in_tmp / "list.csv"))
    with pytest.raises(BadSetting, match="LIST="):
        fetch.fetch("mine")
    with pytest.raises(BadSetting, match=r"LIST=list\.csv is for make fetch"):
        Settings({"dataset": "mine", "list": "list.csv"})


def test_the_table_of_biotrove_comes_from_the_hub(server, images, in_tmp, monkeypatch):
    (in_tmp / "params" / "fetch").mkdir(parents=True)
    config = "hub: BGLab/BioTrove-Train\nfile: a/b.parquet\nn_species: 2\nphotos_per_species: 2\nphoto_size: medium\n"
    (in_tmp / "params" / "fetch" / "balanced.yaml").write_text(config)
    server.answers = {f"/{number}": [(200, image, {})] for number, image in enumerate(images)}
    found = pd.DataFrame(
        {"photo_id": range(6), "photo_url": [f"{server.url}/{number}" for number in range(6)], "family": "F", "genus": "G"}
    ).assign(species=["G a", "G a", "G a", "G b", "G b", "G c"])
    found.to_parquet(in_tmp / "b.parquet")
    asked = []
    monkeypatch.setattr("huggingface_hub.hf_hub_download", lambda *a, **k: asked.append((a, k)) or in_tmp / "b.parquet")
    fetch.fetch("balanced")
    assert asked == [(("BGLab/BioTrove-Train", "a/b.parquet"), {"repo_type": "dataset", "revision": None})]
    folder = in_tmp / "data" / "balanced" / "fetched"
    metadata = pd.read_csv(folder / "metadata.csv")
    assert sorted(metadata["species"]) == ["G a", "G a", "G b", "G b"] and len(list((folder / "photos").iterdir())) == 4

    def offline(*_, **__):
        raise ConnectionError("no\nnetwork")

    monkeypatch.setattr("huggingface_hub.hf_hub_download", offline)
    with pytest.raises(fetch.NotFetched, match=r"a/b.parquet of BGLab/BioTrove-Train could not be fetched .*no network"):
        fetch.fetch("balanced")


def test_moths_come_from_the_list_in_their_repository(server, images, in_tmp, monkeypatch):
    (in_tmp / "params" / "fetch").mkdir(parents=True)
    config = "github: a/moths\nfile: images.txt\nrevision: c0ffee\nfamilies:\n  Erebidae: [Abrostola]\n"
    (in_tmp / "params" / "fetch" / "moths.yaml").write_text(config)
    monkeypatch.setattr(fetch, "RAW", server.url)
    with pytest.raises(fetch.NotFetched, match=r"images.txt of a/moths could not be fetched \(not found\)"):
        fetch.fetch("moths")
    listed = ["abrostola_tripartita/gwk10märz2012 1.jpg", "abrostola_tripartita/2.jpg", "no_genus/3.jpg", ""]
    server.answers["/a/moths/c0ffee/images.txt"] = [(200, "\n".join(listed).encode(), {})]
    at = "/a/moths/c0ffee/images/"
    server.answers[f"{at}abrostola_tripartita/gwk10m%C3%A4rz2012%201.jpg"] = [(200, images[0], {})]
    server.answers[f"{at}no_genus/3.jpg"] = [(200, images[1], {})]
    fetch.fetch("moths")
    folder = in_tmp / "data" / "moths" / "fetched"
    metadata = pd.read_csv(folder / "metadata.csv", keep_default_na=False).sort_values("genus")
    assert metadata[["family", "genus", "species"]].to_numpy().tolist() == [
        ["Erebidae", "Abrostola", "Abrostola tripartita"], ["", "No", "No genus"],
    ]  # fmt: skip
    assert set(pd.read_csv(folder / "manifest.csv")["status"]) == {"fetched", "not found"}


def test_pickles_are_refused(in_tmp):
    (in_tmp / "params" / "fetch").mkdir(parents=True)
    shutil.copy(ROOT / "params" / "fetch" / "hugo_bench.yaml", in_tmp / "params" / "fetch")
    with pytest.raises(fetch.NotFetched, match="pickles, which may run any program"):
        fetch.fetch("hugo_bench")
    assert load_stored("hugo_bench") == {}


@pytest.fixture
def kaggle(server, in_tmp, monkeypatch):
    """A local server in place of Kaggle, and credentials for it."""
    from kagglesdk import kaggle_env

    monkeypatch.setitem(kaggle_env._env_to_endpoint, kaggle_env.KaggleEnv.PROD, server.url)
    for name in ("KAGGLE_API_TOKEN", "KAGGLE_CONFIG_DIR"):
        monkeypatch.setenv(name, "" if name == "KAGGLE_API_TOKEN" else str(in_tmp / "nothing"))
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(in_tmp / "cache"))
    monkeypatch.setenv("KAGGLE_USERNAME", "me")
    monkeypatch.setenv("KAGGLE_KEY", "secret")
    (in_tmp / "params" / "fetch").mkdir(parents=True)
    (in_tmp / "params" / "fetch" / "biotrove.yaml").write_text("kaggle: biotrove-clustering\n")
    server.path = "/v1/competitions.CompetitionApiService/DownloadDataFiles"
    return server


def test_a_competition_is_unpacked_and_stored(kaggle, images, in_tmp):
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("metadata.csv", "hash_id,family\na,Noctuidae\n")
        archive.writestr("images/a.jpg", images[0])
    dated = {"Last-Modified": "Mon, 01 Sep 2025 00:00:00 GMT"}
    kaggle.answers = {kaggle.path: [(200, stream.getvalue(), dated)]}
    for _ in range(2):  # the second call finds the files
        fetch.fetch("biotrove")
        folder = in_tmp / "data" / "biotrove" / "fetched"
        assert (folder / "images" / "a.jpg").read_bytes() == images[0]
        assert load_stored("biotrove") == {"source": "data/biotrove/fetched", "csv": "metadata.csv"}


def test_kaggle_says_how_to_get_in(kaggle, in_tmp, monkeypatch):
    kaggle.answers = {kaggle.path: [(403, b"{}", {"Content-Type": "application/json"})]}
    with pytest.raises(fetch.NotFetched, match=r"Kaggle refuses: make a token .*/biotrove-clustering/rules$"):
        fetch.fetch("biotrove")
    kaggle.shutdown()
    kaggle.server_close()
    with pytest.raises(fetch.NotFetched, match="Kaggle cannot be reached"):
        fetch.fetch("biotrove")
    monkeypatch.delenv("KAGGLE_USERNAME")
    monkeypatch.delenv("KAGGLE_KEY")
    with pytest.raises(fetch.NotFetched, match="Kaggle needs your credentials: make a token"):
        fetch.fetch("biotrove")


def test_the_shipped_configs_are_valid():
    assert fetch.config_names("fetch") == ["biotrove", "biotrove_balanced", "eu_moths", "hugo_bench"]
    for name in fetch.config_names("fetch"):
        config = fetch.check_parameters(fetch.load_yaml(f"params/fetch/{name}.yaml"), fetch.DEFAULTS, name)
        at = config.get("hub") or config.get("github")
        assert config.get("kaggle") or config.get("refused") or (at and len(config["revision"]) == 40)
