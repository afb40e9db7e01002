"""Photographs in tar and zip files, such as the shards of WebDataset, and in object stores: read where they lie.

The path of such a photograph is that of the archive followed by its name inside, as in photos/shard-0001.tar/0815.jpg. For an
object store the archive is a text file, photos/any-name.bucket, with the address of a folder there.
"""

import functools
import io
import lzma
import os
import re
import tarfile
import zipfile
import zlib
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

from pyarrow import fs

import listing
from files import one_line

MAX_BYTES = 1 << 30  # of one file; a photograph with as many pixels as are allowed is smaller


def names(archive):
    """Sorted names of the images in an archive, without hidden ones, and without names that leave the archive.

    ValueError if the archive cannot be read, for instance because it was cut off, or compressed as a whole (.tar.gz), or the
    object store does not answer.
    """
    found = (name for name in _opened(archive).entries if name.lower().endswith((*listing.IMAGES, *listing.UNSUPPORTED)))
    return sorted(name for name in found if not any(part.startswith((".", "__MACOSX")) for part in name.split("/")))


def read(path):
    """The content of a photograph in an archive, as a binary stream; ValueError gives the reason if there is none."""
    path = Path(path)
    archive = next((parent for parent in path.parents if parent.is_file()), path)
    if not archive.name.lower().endswith(listing.ARCHIVES):
        raise ValueError("unreadable: no such file")
    return io.BytesIO(_opened(archive).read(path.relative_to(archive).as_posix()))


def _opened(archive):
    status = Path(archive).stat()
    return _open(str(archive), status.st_size, status.st_mtime_ns, os.getpid())


@functools.lru_cache(maxsize=256)
def _open(archive, size, date, process):  # processes must not share a position in a file
    kind = KINDS[Path(archive).suffix.lower()]
    try:
        return kind(archive)
    except (OSError, EOFError, NotImplementedError, tarfile.TarError, zipfile.BadZipFile) as error:
        raise _unreadable(archive, kind, error) from error


def _unreadable(archive, kind, error):
    return ValueError(f"{Path(archive).name} cannot be read ({one_line(error)}): {kind.ADVICE}")


class _Tar:
    """Where the files of an uncompressed tar lie: {name: (first byte, size)}, or None for a link that is not followed."""

    ADVICE = "pack it again as .tar or .zip, or unpack it"

    def __init__(self, path):
        self.path, self.entries = Path(path), {}
        with tarfile.open(path, "r:") as opened:
            for member in opened:
                name = member.name.removeprefix("./")
                if member.isreg() and not member.issparse():
                    self.entries[name] = member.offset_data, member.size
                elif member.islnk():  # the second name of a file that was packed before
                    self.entries[name] = self.entries.get(member.linkname.removeprefix("./"))
                elif member.issym():
                    self.entries[name] = None
            with self.path.open("rb") as stream:  # without its last block of zeros, files may be missing
                stream.seek(opened.offset)
                if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                    raise tarfile.ReadError("it was cut off")

    def read(self, name):
        place = _entry(self, name)
        if place is None:
            raise ValueError("unreadable: it is a link")
        start, size = place
        with self.path.open("rb") as stream:
            stream.seek(start)
            content = stream.read(_allowed(size))
        if len(content) < size:
            raise ValueError("truncated: the archive ends before it does")
        return content


class _Zip:
    """The files of a zip, which stays open: {name: ZipInfo}."""

    ADVICE = _Tar.ADVICE

    def __init__(self, path):
        self.path, self.file = Path(path), zipfile.ZipFile(path)
        self.entries = {info.filename.removeprefix("./"): info for info in self.file.infolist() if not info.is_dir()}

    def read(self, name):
        info = _entry(self, name)
        _allowed(info.file_size)
        try:
            return self.file.read(info)
        except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zlib.error, lzma.LZMAError) as error:
            raise ValueError(f"unreadable: {one_line(error)}") from error  # also if there is a password


class _Bucket:
    """The objects below the address in a file: s3://bucket/folder?region=us-east-1&anonymous=1.

    For a public bucket in another store that understands S3, add endpoint_override=<host>. Without `anonymous` the credentials
    are those that the machine has for other programs. They go to Amazon, or to the store that the environment variable
    AWS_ENDPOINT_URL names, and never to one that a file in a folder of photographs names.
    """

    ADVICE = "check the address in it and your access, or copy the photographs into the folder"
    OPTIONS = ("region", "anonymous", "endpoint_override", "scheme")

    def __init__(self, path):
        text = Path(path).read_bytes()[:2000].decode(errors="replace").strip()
        parts = re.fullmatch(r"s3://([\w.-]+(?:/[^\s?]*)?)(?:\?(\S*))?", text)
        options = dict(parse_qsl(parts[2] or "")) if parts else {}
        if not parts or set(options) - set(self.OPTIONS) or not re.fullmatch(r"[a-z0-9-]*", options.get("region", "")):
            known = ", ".join(self.OPTIONS)
            raise OSError(f"it should hold one address, as in s3://bucket/folder?region=us-east-1, with no option but {known}")
        options["anonymous"] = options.get("anonymous", "0").lower() in ("1", "true", "yes")
        if not options["anonymous"]:
            if {"scheme", "endpoint_override"} & set(options):
                raise OSError("endpoint_override needs anonymous=1; for a private store set AWS_ENDPOINT_URL instead")
            own = urlsplit(os.environ.get("AWS_ENDPOINT_URL", ""))
            options |= {"scheme": own.scheme, "endpoint_override": own.netloc} if own.netloc else {}
        self.path, self.folder, self.store = Path(path), parts[1].rstrip("/"), fs.S3FileSystem(**options)

    @functools.cached_property
    def entries(self):
        """Names of all objects, without the folder: asked for once and by chapter 01 only, with a request for every 1,000."""
        try:
            found = self.store.get_file_info(fs.FileSelector(self.folder, recursive=True))
        except OSError as error:
            raise _unreadable(self.path, _Bucket, error) from error
        return [info.path.removeprefix(f"{self.folder}/") for info in found if info.is_file]

    def read(self, name):
        try:
            with self.store.open_input_stream(f"{self.folder}/{name}") as stream:
                content = stream.read(MAX_BYTES + 1)
        except OSError as error:
            raise ValueError(f"unreadable: {one_line(error)}") from error
        _allowed(len(content))
        return content


KINDS = {".tar": _Tar, ".zip": _Zip, ".bucket": _Bucket}


def _entry(archive, name):
    try:
        return archive.entries[name]
    except KeyError:
        raise ValueError(f"unreadable: {archive.path.name} does not hold it") from None


def _allowed(size):
    if size > MAX_BYTES:
        raise ValueError(f"oversized: {size:,} bytes")
    return size
