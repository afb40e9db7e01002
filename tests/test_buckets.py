"""Photographs in an object store: the same results as in a folder, and one clear line for what cannot be fetched."""

import multiprocessing

import numpy as np
import pandas as pd
import pytest
from conftest import encoded_specimens, write_csv
from object_store import bucket, started

import archives
import images


@pytest.fixture
def store():
    with started() as running:
        yield running


NAME = "{family} ö/{number}+a.png"  # it must be quoted in an address


def about(bench, dataset):
    return pd.read_parquet(bench.data(dataset, "metadata.parquet"))[["hash_id", "family", "width", "height", "sha256"]]


def test_a_bucket_gives_what_a_folder_gives(bench, tmp_path, store):
    files = encoded_specimens(name=NAME)
    for name, content in files.items():
        path = tmp_path / "plain" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    store.objects |= {f"a/b/{name}": content for name, content in files.items()}
    store.objects |= {"a/b/notes.txt": b"x", "a/b/.hidden/1.png": b"x", "a/besides.png": b"x", "a/b/": b""}
    bucket(tmp_path / "remote", store.address("museum/a/b/", anonymous=1))
    for dataset, folder in (("a", "plain"), ("b", "remote")):
        write_csv(tmp_path / folder, [[f"{n}+a", "FG"[n % 2]] for n in range(6)], ("hash_id", "family"))
        bench.run("01", dataset=dataset, source=str(tmp_path / folder))
        bench.encode(dataset)
    pd.testing.assert_frame_equal(about(bench, "a"), about(bench, "b"))
    assert pd.read_parquet(bench.data("b", "metadata.parquet"))["path"][0] == "photos.bucket/F ö/0+a.png"
    one, other = (pd.read_parquet(bench.data(d, "embeddings", "pixels", "part-00000.parquet")) for d in "ab")
    np.testing.assert_array_equal(np.stack(one["pca"]), np.stack(other["pca"]))
    assert not any(store.signed)


def test_credentials_of_the_machine_go_to_the_store_that_the_machine_names_only(tmp_path, store, monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "me")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    store.objects["1.png"] = b"x"
    with pytest.raises(ValueError, match="endpoint_override needs anonymous=1"):
        archives.names(bucket(tmp_path / "other", store.address("museum")) / "photos.bucket")
    assert not store.signed
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{store.server_port}")
    assert archives.names(bucket(tmp_path / "own", "s3://museum?region=here") / "photos.bucket") == ["1.png"]
    assert all(store.signed)


def test_lists_of_more_than_a_thousand_objects_are_read_on(tmp_path, store):
    store.objects |= {f"{number:05}.jpg": b"x" for number in range(2500)}
    path = bucket(tmp_path / "src", store.address("museum", anonymous=1)) / "photos.bucket"
    assert archives.names(path) == sorted(store.objects)


def first_bytes(path):
    return images.open_file(path).read()


def test_several_processes_read_one_bucket(tmp_path, store):
    store.objects |= encoded_specimens(name=NAME)
    path = bucket(tmp_path / "src", store.address("museum", anonymous=1)) / "photos.bucket"
    assert len(archives.names(path)) == 6  # this process has a connection before the others are forked
    with multiprocessing.get_context("fork").Pool(3) as pool:
        found = pool.map(first_bytes, [path / name for name in store.objects] * 5, chunksize=1)
    assert found == list(store.objects.values()) * 5


def test_what_is_wrong_with_one_photograph_is_its_reason(tmp_path, store, monkeypatch):
    (content,) = encoded_specimens(1).values()
    store.objects |= {"a.png": content, "cut.png": content[:99], "secret.png": content}
    store.broken["secret.png"] = 403
    path = bucket(tmp_path / "src", store.address("museum", anonymous=1)) / "photos.bucket"
    for name, reason in (("cut", "truncated"), ("gone", "unreadable: .*gone.png"), ("secret", "unreadable: .*secret")):
        with pytest.raises(ValueError, match=reason) as error:
            images.load_rgb(path / f"{name}.png")
        assert "\n" not in str(error.value)
    monkeypatch.setattr(archives, "MAX_BYTES", 10)
    with pytest.raises(ValueError, match="oversized"):
        images.load_rgb(path / "a.png")


@pytest.mark.parametrize(
    "text",
    [
        "", "museum/a", "https://museum/a", "file:///etc", "s3:///a", "s3://me:secret@museum/a", "s3://museum/a b",
        "s3://museum?key=1", "s3://museum?region=evil.org/", "[InternetShortcut]\nURL=s3://museum", "\0" * 5000,
    ],
)  # fmt: skip
def test_a_file_without_a_plain_address_is_named_in_one_line(bench, tmp_path, text):
    folder = bucket(tmp_path / "src", text)
    with pytest.raises(ValueError, match=r"photos\.bucket cannot be read \(it should hold one address.+\): check") as error:
        bench.run("01", dataset="d", source=str(folder))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("path", ["elsewhere/a", "museum/a"])
def test_a_store_that_has_nothing_there_is_named_in_one_line(bench, tmp_path, store, path):
    folder = bucket(tmp_path / "src", store.address(path, anonymous=1))
    with pytest.raises(ValueError, match=r"photos\.bucket cannot be read \(.+\): check the address") as error:
        bench.run("01", dataset="d", source=str(folder))
    assert "\n" not in str(error.value)


def test_a_store_that_does_not_answer_is_named_in_one_line(bench, tmp_path):
    folder = bucket(tmp_path / "src", "s3://museum/a?region=here&scheme=http&endpoint_override=127.0.0.1:9&anonymous=1")
    with pytest.raises(ValueError, match=r"photos\.bucket cannot be read \(.+\): check the address") as error:
        bench.run("01", dataset="d", source=str(folder))
    assert "\n" not in str(error.value)
