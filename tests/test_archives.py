"""Photographs in tar and zip files: the same results as in folders, and one clear line for what cannot be read."""

import gzip
import io
import multiprocessing
import tarfile
import zipfile

import numpy as np
import pandas as pd
import pytest
from conftest import encoded_specimens, write_csv

import archives
import images
import listing


def pack(path, files, method=zipfile.ZIP_DEFLATED):
    """Write files {name: bytes} into a tar or zip file."""
    path.parent.mkdir(exist_ok=True)
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", method) as packed:
            for name, content in files.items():
                packed.writestr(name, content)
        return path
    with tarfile.open(path, "w") as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return path


def columns_of(bench, dataset, *names):
    return pd.read_parquet(bench.data(dataset, "metadata.parquet"))[list(names)]


@pytest.mark.parametrize("kinds", [("tar", "tar"), ("zip", "zip"), ("zip", "tar")])
def test_archives_give_what_folders_give(bench, tmp_path, kinds):
    files = encoded_specimens()
    names = [[name[2:-4], name[0]] for name in files]
    for name, content in files.items():
        (tmp_path / "plain" / name[0]).mkdir(parents=True, exist_ok=True)
        (tmp_path / "plain" / name).write_bytes(content)
    halves = dict(list(files.items())[:3]), dict(list(files.items())[3:])
    for number, (kind, half) in enumerate(zip(kinds, halves, strict=True)):
        pack(tmp_path / "packed" / f"shard-{number}.{kind}", half)
    for dataset, folder in (("a", "plain"), ("b", "packed")):
        write_csv(tmp_path / folder, names, ("hash_id", "family"))
        bench.run("01", dataset=dataset, source=str(tmp_path / folder))
        bench.encode(dataset)
    about = "hash_id", "family", "width", "height", "sha256"
    pd.testing.assert_frame_equal(columns_of(bench, "a", *about), columns_of(bench, "b", *about))
    assert columns_of(bench, "b", "path")["path"][0] == f"shard-0.{kinds[0]}/F/0.png"
    one, other = (pd.read_parquet(bench.data(d, "embeddings", "pixels", "part-00000.parquet")) for d in "ab")
    np.testing.assert_array_equal(np.stack(one["pca"]), np.stack(other["pca"]))


def test_an_archive_beside_photographs_is_left_alone(bench, tmp_path):
    files = encoded_specimens(2)
    pack(tmp_path / "src" / "download.zip", files)
    (tmp_path / "src" / "own.png").write_bytes(files["F/0.png"])
    bench.run("01", dataset="d", source=str(tmp_path / "src"))
    assert columns_of(bench, "d", "path")["path"].tolist() == ["own.png"]


def test_folders_in_an_archive_are_taxa_and_the_archive_is_none(bench, tmp_path):
    pack(tmp_path / "src" / "all.zip", encoded_specimens(4))
    bench.run("01", dataset="d", source=str(tmp_path / "src"), labels="folders")
    assert columns_of(bench, "d", "family")["family"].tolist() == ["F", "G", "F", "G"]


def test_only_images_that_lie_in_the_archive_are_listed(tmp_path):
    (content,) = encoded_specimens(1).values()
    more = ("a/../../up.png", ".hidden/x.png", "__MACOSX/a/._b.png", "a/.b.png", "notes.txt", "/root.png")
    path = pack(tmp_path / "a.tar", {"a/b.png": content} | dict.fromkeys(more, content))
    with tarfile.open(path, "a") as packed:
        for kind in (tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.DIRTYPE, tarfile.FIFOTYPE):
            member = tarfile.TarInfo(f"{kind.decode()}.png")
            member.type, member.linkname = kind, "/etc/passwd"
            packed.addfile(member)
        member = tarfile.TarInfo("a/second name.png")
        member.type, member.linkname = tarfile.LNKTYPE, "a/b.png"
        packed.addfile(member)
    links = ["1.png", "2.png"]  # to a file outside
    assert archives.names(path) == ["/root.png", *links, "a/b.png", "a/second name.png"]
    for name in ("a/b.png", "a/second name.png"):
        assert images.open_file(path / name).read() == content
    for name in links:
        with pytest.raises(ValueError, match="unreadable: it is a link"):
            images.open_file(path / name)


def spoil(path, what):
    """Damage a file in place."""
    content = bytearray(path.read_bytes())
    if what == "cut off":
        content = content[: len(content) // 2]
    elif what == "compressed":
        content = gzip.compress(content)
    elif what == "no archive":
        content = b"<html>not found</html>" * 100
    path.write_bytes(content)


@pytest.mark.parametrize("kind", ["tar", "zip"])
@pytest.mark.parametrize("what", ["cut off", "compressed", "no archive"])
def test_a_damaged_archive_is_named_in_one_line(bench, tmp_path, kind, what):
    path = pack(tmp_path / "src" / f"a.{kind}", encoded_specimens(2))
    spoil(path, what)
    with pytest.raises(ValueError, match=rf"a\.{kind} cannot be read \(.+\): pack it again") as error:
        bench.run("01", dataset="d", source=str(path.parent))
    assert "\n" not in str(error.value)


def test_what_is_wrong_with_one_photograph_is_its_reason(tmp_path, monkeypatch):
    (content,) = encoded_specimens(1).values()
    files = {"a.png": content, "cut.png": content[:99], "none.png": b"", "text.png": b"hello"}
    path = pack(tmp_path / "a.zip", files, zipfile.ZIP_STORED)
    changed = bytearray(path.read_bytes())
    changed[changed.index(content) + len(content) // 2] ^= 255
    (tmp_path / "changed.zip").write_bytes(changed)
    locked = bytearray(path.read_bytes())
    for header, flags in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        locked[locked.index(header) + flags] |= 1
    (tmp_path / "locked.zip").write_bytes(locked)
    (tmp_path / "spoilt").mkdir()
    squeezed = bytearray(pack(tmp_path / "spoilt" / "a.zip", {"a.png": bytes(99_999)}, zipfile.ZIP_LZMA).read_bytes())
    squeezed[50:60] = bytes(255 - byte for byte in squeezed[50:60])
    (tmp_path / "squeezed.zip").write_bytes(squeezed)
    for where, reason in (
        ("squeezed.zip/a.png", "unreadable: "),
        ("a.zip/cut.png", "truncated"), ("a.zip/none.png", "empty file"), ("a.zip/text.png", "unreadable: no image of a known"),
        ("a.zip/gone.png", "unreadable: a.zip does not hold it"), ("changed.zip/a.png", "unreadable: Bad CRC"),
        ("locked.zip/a.png", "unreadable: .*encrypted"), ("no.zip/a.png", "unreadable: No such file"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=reason):
            images.load_rgb(tmp_path / where)
    (tmp_path / "file").write_bytes(b"x")
    with pytest.raises(ValueError, match="unreadable: no such file"):
        images.load_rgb(tmp_path / "file" / "a.png")
    monkeypatch.setattr(archives, "MAX_BYTES", 10)
    for archive in (path, pack(tmp_path / "a.tar", {"a.png": content})):
        with pytest.raises(ValueError, match="oversized"):
            images.load_rgb(archive / "a.png")


def test_an_archive_that_changed_is_read_again(tmp_path):
    one, other = encoded_specimens(2).values()
    for content in (one, other + b" "):
        path = pack(tmp_path / "src" / "a.zip", {"a.png": content})
        seen = listing.digest(path.parent)
        assert images.open_file(path / "a.png").read() == content
    path = pack(path, {"a.png": one})
    assert listing.digest(path.parent) != seen  # make notices it, too


def first_bytes(path):
    return images.open_file(path).read()


@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_several_processes_read_one_archive(tmp_path, kind):
    files = encoded_specimens()
    path = pack(tmp_path / f"a.{kind}", files)
    archives.names(path)  # open in this process before the others are forked
    with multiprocessing.get_context("fork").Pool(3) as pool:
        found = pool.map(first_bytes, [path / name for name in files] * 20, chunksize=1)
    assert found == list(files.values()) * 20
