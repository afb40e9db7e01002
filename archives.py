"""Photographs in tar and zip files, such as the shards of WebDataset: read where they lie, nothing is unpacked.

The path of such a photograph is that of the archive followed by its name inside, as in photos/shard-0001.tar/0815.jpg.
"""

import functools
import io
import os
import tarfile
import zipfile
from pathlib import Path

import listing

MAX_BYTES = 1 << 30  # of one file; a photograph with as many pixels as are allowed is smaller


def names(archive):
    """Sorted names of the images in an archive, without hidden ones. Links, and names that leave the archive, are no images.

    ValueError if the archive cannot be read, for instance because it was cut off, or compressed as a whole (.tar.gz).
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
    kind = _Tar if archive.lower().endswith(".tar") else _Zip
    try:
        return kind(archive)
    except (OSError, EOFError, NotImplementedError, tarfile.TarError, zipfile.BadZipFile) as error:
        about = f"{Path(archive).name} cannot be read ({' '.join(str(error).split())})"
        raise ValueError(f"{about}: pack it again as .tar or .zip, or unpack it") from error


class _Tar:
    """Where the files of an uncompressed tar lie: {name: (first byte, size)}."""

    def __init__(self, path):
        self.path, self.entries = Path(path), {}
        with tarfile.open(path, "r:") as opened:
            for member in opened:
                if member.isreg() and not member.issparse():
                    self.entries[member.name.removeprefix("./")] = member.offset_data, member.size
            with self.path.open("rb") as stream:  # without its last block of zeros, files may be missing
                stream.seek(opened.offset)
                if stream.read(tarfile.BLOCKSIZE) != bytes(tarfile.BLOCKSIZE):
                    raise tarfile.ReadError("it was cut off")

    def read(self, name):
        start, size = _entry(self, name)
        with self.path.open("rb") as stream:
            stream.seek(start)
            content = stream.read(_allowed(size))
        if len(content) < size:
            raise ValueError("truncated: the archive ends before it does")
        return content


class _Zip:
    """The files of a zip, which stays open: {name: ZipInfo}."""

    def __init__(self, path):
        self.path, self.file = Path(path), zipfile.ZipFile(path)
        self.entries = {info.filename: info for info in self.file.infolist() if not info.is_dir()}

    def read(self, name):
        info = _entry(self, name)
        _allowed(info.file_size)
        try:
            return self.file.read(info)
        except (OSError, EOFError, RuntimeError, NotImplementedError, zipfile.BadZipFile, zipfile.zlib.error) as error:
            raise ValueError(f"unreadable: {' '.join(str(error).split())}") from error  # also if there is a password


def _entry(archive, name):
    try:
        return archive.entries[name]
    except KeyError:
        raise ValueError(f"unreadable: {archive.path.name} does not hold it") from None


def _allowed(size):
    if size > MAX_BYTES:
        raise ValueError(f"oversized: {size:,} bytes")
    return size
