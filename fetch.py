"""Fetch the photographs of a dataset: from Kaggle, or by a table of addresses.

    python fetch.py biotrove                      # as params/fetch/biotrove.yaml says
    python fetch.py mine --list photographs.csv   # a table of one's own, with a column of addresses

The result is data/<dataset>/fetched/, a folder as chapter 01 expects it: photographs and metadata.csv. SOURCE is stored, so
that `make all DATASET=<dataset>` needs nothing else. What was fetched before is kept, and a call that was interrupted goes on.
"""

import argparse
import csv
import hashlib
import io
import re
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from urllib.parse import quote

import pandas as pd
import requests
from PIL import Image
from requests.adapters import HTTPAdapter
from tqdm import tqdm
from urllib3.util import Retry

import spreadsheet
import utils
from files import atomic_write, one_line
from images import FORMATS
from parameters import ROOT, check_parameters, config_names, load_yaml
from settings import BadSetting, check_dataset, store
from specimen_table import read_csv

DEFAULTS = {
    "kaggle": "", "hub": "", "github": "", "file": "", "revision": "", "families": {}, "refused": "", "n_species": 0,
    "max_species_per_family": 20, "photos_per_species": 30, "photo_size": "", "seed": 0,
}  # fmt: skip
RAW = "https://raw.githubusercontent.com"  # where files of GitHub's repositories are
COLUMNS = {  # names that tables of photographs give to their columns, in lower case
    "url": ("photo_url", "image_url", "img_url", "url", "identifier"),
    "id": ("photo_id", "hash_id", "id"),
    "family": ("family", "taxon_family_name", "family_name"),
    "genus": ("genus", "taxon_genus_name", "genus_name"),
    "species": ("species", "scientificname", "scientific_name", "taxon_species_name", "species_name"),
    "licence": ("license", "licence", "photo_license"),
    "attribution": ("attribution", "rights_holder", "rightsholder", "creator", "observer_login", "user_login"),
    "sha256": ("sha256",),
}
MANIFEST = ("hash_id", "url", "file", "bytes", "sha256", "licence", "attribution", "status")
FETCHED = "fetched"  # the status of a photograph that was fetched; any other is the reason why it was not
GONE = ("not found", "forbidden", "gone")  # reasons that another attempt does not change
STATUS = {401: "forbidden", 403: "forbidden", 404: "not found", 410: "gone"}
LARGEST = 100_000_000  # bytes of one photograph
INATURALIST = re.compile(r"(inaturalist.*/photos/\d+/)(?:original|large|medium|small|square|thumb)(\.\w+)$")
KAGGLE_HELP = (
    "make a token at https://www.kaggle.com/settings, set KAGGLE_USERNAME and KAGGLE_KEY (or save it as that page says), "
    "and accept the rules at https://www.kaggle.com/competitions/{}/rules"
)


class NotFetched(Exception):
    """Nothing could be fetched; the message says what to do."""


# ---- the table -----------------------------------------------------------------------------------------------------


def read_table(path):
    """A table of photographs (CSV, TSV or Parquet, possibly compressed) with the columns of COLUMNS, as text.

    `path` is a file; columns that it lacks are empty. BadSetting if there is no column of addresses, or an id appears
    twice or cannot be the name of a file.
    """
    path = Path(path)
    try:
        if path.suffix == ".parquet":
            table = pd.read_parquet(path).astype("string")
        else:
            header, records = read_csv(path)
            table = pd.DataFrame([dict(zip(header, cells, strict=False)) for _, cells in records], columns=header)
    except (OSError, ValueError) as error:
        raise BadSetting(one_line(error)) from None
    known = {name.lower(): name for name in table}
    found = {ours: next((known[name] for name in names if name in known), None) for ours, names in COLUMNS.items()}
    if found["url"] is None:
        raise BadSetting(f"{path} has no column {', '.join(COLUMNS['url'])}; it has {', '.join(table.columns)}")
    rows = pd.DataFrame({ours: table[theirs] if theirs else "" for ours, theirs in found.items()}).fillna("")
    if found["id"] is None:
        rows = rows[rows["url"] != ""].reset_index(drop=True)
        rows["id"] = [hashlib.sha256(url.encode()).hexdigest()[:16] for url in rows["url"]]
    bad = rows.loc[~rows["id"].str.fullmatch(r"[A-Za-z0-9_-]{1,100}"), "id"]
    if len(bad):
        raise BadSetting(f"{path}: {bad.iloc[0]!r} cannot be the name of a file")
    twice = rows.loc[rows["id"].duplicated(), "id"]
    if len(twice):
        raise BadSetting(f"{path}: the id {twice.iloc[0]} appears twice")
    return rows


def choose(rows, n_species, max_species_per_family, photos_per_species, seed):
    """A random part of a table: families in random order, with their species, until there are `n_species`; all rows if it is 0.

    Species with fewer than two photographs are left out. The same seed chooses the same rows, whatever their order.
    """
    if not n_species:
        return rows
    ranks = list(utils.RANKS)  # an epithet may be that of species in several genera
    rows = rows[(rows["family"] != "") & (rows["species"] != "")].sort_values("id")
    rows = rows[rows.groupby(ranks)["id"].transform("size") >= 2].sample(frac=1, random_state=seed)
    species = rows.drop_duplicates(ranks)
    species = species[species.groupby("family").cumcount() < max_species_per_family]
    order = {family: place for place, family in enumerate(species["family"].unique())}
    kept = species.sort_values("family", key=lambda names: names.map(order), kind="stable")[ranks].head(n_species)
    chosen = rows.merge(kept, on=ranks)
    return chosen[chosen.groupby(ranks).cumcount() < photos_per_species].sort_values("id")


def of_size(url, size):
    """The address of an iNaturalist photograph in another size; other addresses stay as they are."""
    return INATURALIST.sub(rf"\g<1>{size}\2", url) if size else url


# ---- photographs ---------------------------------------------------------------------------------------------------


def session(workers=8, pause=1.0):
    """A requests session that asks up to five times, with growing pauses, if a server is busy or cannot be reached."""
    busy = (429, 500, 502, 503, 504)
    retry = Retry(total=4, backoff_factor=pause, backoff_jitter=pause, status_forcelist=busy, raise_on_status=False)
    made = requests.Session()
    for scheme in ("http://", "https://"):
        made.mount(scheme, HTTPAdapter(max_retries=retry, pool_maxsize=workers))
    made.headers["User-Agent"] = "taxonomy-from-pictures"
    return made


def fetch_one(client, url, place, sha256="", timeout=30, attempts=3, pause=1.0):
    """Fetch one photograph to `place` plus the suffix of its format; return file name, bytes and SHA-256.

    One of another format that was there before is removed. NotFetched says in a few words why there is none.
    """
    if not url.lower().startswith(("http://", "https://")):
        raise NotFetched("no http address")
    for attempt in range(attempts):  # the session tries again only until an answer begins
        try:
            content = _content(client, url, timeout)
            break
        except requests.exceptions.ChunkedEncodingError:
            if attempt == attempts - 1:
                raise NotFetched("cut off") from None
            time.sleep(pause * 2**attempt)
        except (requests.RequestException, ValueError) as error:  # of an address that cannot be read: ValueError
            raise NotFetched(f"no answer ({type(error).__name__})") from None
    try:
        with Image.open(io.BytesIO(content), formats=FORMATS) as image:
            suffix = f".{'jpeg' if image.format == 'MPO' else image.format.lower()}"  # an MPO begins with a JPEG
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        raise NotFetched("no photograph") from None
    digest = hashlib.sha256(content).hexdigest()
    if sha256 and digest != sha256.lower():
        raise NotFetched("another SHA-256 than the table says")
    with atomic_write(place.with_name(place.name + suffix)) as temporary:
        temporary.write_bytes(content)
    for other in place.parent.glob(f"{place.name}.*"):
        if other.name != place.name + suffix:
            other.unlink()
    return place.name + suffix, len(content), digest


def _content(client, url, timeout):
    with client.get(url, timeout=timeout, stream=True) as answer:
        if answer.status_code in STATUS:
            raise NotFetched(STATUS[answer.status_code])
        if answer.status_code != 200:
            raise NotFetched(f"HTTP {answer.status_code}")
        content = bytearray()
        for part in answer.iter_content(1 << 16):
            content += part
            if len(content) > LARGEST:
                raise NotFetched("larger than 100 MB")
    return bytes(content)


def read_manifest(path):
    """{id: row} of a manifest; a last line that was cut off is left out."""
    if not path.is_file():
        return {}
    with path.open(newline="") as stream:
        rows = pd.DataFrame([row for row in csv.DictReader(stream) if row.get("status")], columns=MANIFEST)
    return {row["hash_id"]: row for row in spreadsheet.unescaped(rows).to_dict("records")}


def fetch_photographs(rows, folder, client=None, workers=8, pause=1.0):
    """Fetch the photographs of a table into `folder`/photos; return the manifest as a table.

    Every photograph is written to manifest.csv as soon as it is there, with its SHA-256, licence and attribution, or the reason
    why it is not. A photograph that is there already is not fetched again; a dead address is not asked again.
    """
    client = client or session(workers, pause)
    photos, path = folder / "photos", folder / "manifest.csv"
    photos.mkdir(parents=True, exist_ok=True)
    done = {name: row for name, row in read_manifest(path).items() if _settled(row, photos)}
    utils.write_table(pd.DataFrame(done.values(), columns=MANIFEST), path)
    pending = [row for row in rows.to_dict("records") if row["id"] not in done or done[row["id"]]["url"] != row["url"]]
    with path.open("a", newline="") as stream, ThreadPoolExecutor(workers) as pool:
        asked = {
            pool.submit(fetch_one, client, row["url"], photos / row["id"], row["sha256"], pause=pause): row for row in pending
        }
        try:
            for future in tqdm(as_completed(asked), total=len(asked), unit="photo", disable=None):
                row = pd.DataFrame([_manifest_row(asked[future], future)], columns=MANIFEST)
                spreadsheet.escaped(row).to_csv(stream, header=False, index=False, quoting=csv.QUOTE_ALL)  # also line ends
                stream.flush()
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    manifest = pd.DataFrame(read_manifest(path).values(), columns=MANIFEST)
    return manifest[manifest["hash_id"].isin(rows["id"])]


def _settled(row, photos):
    """Whether a row of the manifest need not be tried again."""
    if row["status"] != FETCHED:
        return row["status"] in GONE
    file = photos / Path(row["file"]).name
    return file.is_file() and str(file.stat().st_size) == row["bytes"]


def _manifest_row(row, future):
    made = {"hash_id": row["id"], **{name: row[name] for name in ("url", "licence", "attribution")}}
    try:
        file, size, digest = future.result()
    except NotFetched as reason:
        return made | {"status": str(reason)}
    return made | {"file": file, "bytes": size, "sha256": digest, "status": FETCHED}


def write_metadata(rows, manifest, folder):
    """Write metadata.csv for the photographs that were fetched. NotFetched if there is none."""
    there = manifest.loc[manifest["status"] == FETCHED, "hash_id"]
    if there.empty:
        reasons = manifest["status"].value_counts().index
        reason = reasons[0] if len(reasons) else "the table lists none, or none that was asked for"
        raise NotFetched(f"none of {len(rows):,} photographs could be fetched ({reason})")
    table = rows[rows["id"].isin(there)].rename(columns={"id": "hash_id"})
    utils.write_table(table[["hash_id", *utils.RANKS]], folder / "metadata.csv")


# ---- datasets ------------------------------------------------------------------------------------------------------


def from_table(rows, config, folder):
    """Fetch the photographs of a table of `read_table`, or a random part of them."""
    rows["url"] = [of_size(url, config["photo_size"]) for url in rows["url"]]
    keys = ("n_species", "max_species_per_family", "photos_per_species", "seed")
    rows = choose(rows, *(config[key] for key in keys))
    manifest = fetch_photographs(rows, folder)
    write_metadata(rows, manifest, folder)
    missing = manifest.loc[manifest["status"] != FETCHED, "status"].value_counts()
    print(f"{(manifest['status'] == FETCHED).sum():,} of {len(rows):,} photographs are in {folder / 'photos'}")
    for reason, count in missing.items():
        print(f"  {count:,} not fetched: {reason} (see {folder / 'manifest.csv'})")


def from_hub(config, folder):
    """Fetch the table of a dataset from the Hugging Face hub, and then its photographs."""
    from huggingface_hub import hf_hub_download

    about = f"{config['file']} of {config['hub']}"
    try:
        path = hf_hub_download(config["hub"], config["file"], repo_type="dataset", revision=config["revision"] or None)
    except Exception as error:  # the hub's library raises errors of several others
        raise NotFetched(f"{about} could not be fetched ({type(error).__name__}: {one_line(error, 200)})") from None
    from_table(read_table(path), config, folder)


def from_github(config, folder):
    """Fetch the photographs that a repository lists in a file, one line for each: <genus>_<species>/<name>.

    `families` of the config gives the genera of every family; a genus that is in none has no family.
    """
    address = f"{RAW}/{config['github']}/{config['revision']}"
    try:
        listed = _content(session(), f"{address}/{config['file']}", timeout=30).decode()
    except (NotFetched, requests.RequestException, UnicodeDecodeError) as error:
        raise NotFetched(f"{config['file']} of {config['github']} could not be fetched ({one_line(error, 200)})") from None
    paths = [line.strip() for line in listed.splitlines() if line.strip()]
    family_of = {genus: family for family, genera in config["families"].items() for genus in genera}
    rows = pd.DataFrame({"id": [hashlib.sha256(path.encode()).hexdigest()[:16] for path in paths]})
    rows["url"] = [f"{address}/images/{quote(path)}" for path in paths]
    rows["species"] = [path.partition("/")[0].replace("_", " ").capitalize() for path in paths]
    rows["genus"] = rows["species"].str.partition(" ")[0]
    rows["family"] = rows["genus"].map(family_of).fillna("")
    from_table(rows.assign(licence="", attribution=config["github"], sha256=""), config, folder)


def from_kaggle(competition, folder):
    """Fetch and unpack the files of a Kaggle competition."""
    import kagglehub
    from kagglehub.exceptions import UnauthenticatedError

    try:
        found = Path(kagglehub.competition_download(competition))
    except UnauthenticatedError:
        raise NotFetched(f"Kaggle needs your credentials: {KAGGLE_HELP.format(competition)}") from None
    except requests.HTTPError as error:
        if error.response is not None and error.response.status_code in (401, 403):
            raise NotFetched(f"Kaggle refuses: {KAGGLE_HELP.format(competition)}") from None
        raise NotFetched(f"Kaggle answers: {one_line(error, 200)}") from None
    except (requests.RequestException, OSError) as error:
        raise NotFetched(f"Kaggle cannot be reached ({type(error).__name__}: {one_line(error, 200)})") from None
    if folder.exists() and not folder.is_symlink():
        raise BadSetting(f"{folder} is a folder, where a link to {found} belongs: move it away")
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.unlink(missing_ok=True)
    folder.symlink_to(found.resolve(), target_is_directory=True)
    print(f"the files of {competition} are in {found}")


def fetch(dataset, table=""):
    """Fetch a dataset to data/<dataset>/fetched and store it as SOURCE; BadSetting or NotFetched in one line."""
    dataset, known = check_dataset(dataset), config_names("fetch")
    if not table and dataset not in known:
        raise BadSetting(f"DATASET={dataset} is none of {', '.join(known)}; LIST=<a table with addresses> fetches photographs")
    file = f"params/fetch/{dataset}.yaml"
    config = DEFAULTS | (check_parameters(load_yaml(file), DEFAULTS, file) if dataset in known and not table else {})
    folder = ROOT / "data" / dataset / "fetched"
    if config["refused"]:
        raise NotFetched(config["refused"])
    if config["kaggle"]:
        from_kaggle(config["kaggle"], folder)
    elif table:
        from_table(read_table(table), config, folder)
    elif config["github"]:
        from_github(config, folder)
    else:
        from_hub(config, folder)
    table = "metadata.csv" if (folder / "metadata.csv").is_file() else ""
    store(dataset, [f"source={folder.relative_to(ROOT)}", f"csv={table}", "labels="], {})
    print(f"next: make all DATASET={dataset}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("dataset")
    parser.add_argument("--list", default="", help="a table of your own with addresses of photographs")
    given = parser.parse_args()
    try:
        fetch(given.dataset, given.list)
    except (BadSetting, NotFetched, ValueError, OSError) as error:
        sys.exit(one_line(error))
    except KeyboardInterrupt:
        sys.exit("interrupted; the same command goes on where it stopped")


if __name__ == "__main__":
    main()
