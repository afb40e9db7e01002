"""Write a file completely or not at all, and say in one line why one cannot be written or read. Standard library only, for the
plan of make and for the chapters.
"""

import errno
import fcntl
import glob
import os
import re
import threading
from contextlib import contextmanager
from pathlib import Path

REMEDIES = {
    errno.ENOSPC: "free some space on the disk, then run make again",
    errno.EDQUOT: "free some space in your quota, then run make again",
    errno.EFBIG: "raise the limit on the size of files (ulimit -f), then run make again",
    errno.EROFS: "make it writable, or work on a copy of the project",
    errno.EACCES: "change its permissions, then run make again",
    errno.EPERM: "change its permissions, then run make again",
    errno.EIO: "the disk may be damaged; check it, then run make again",
    errno.EMFILE: "raise the limit on open files (ulimit -n), then run make again",
}


UNFINISHED = re.compile(r"\.(?P<process>\d+)(\.\d+)?-")  # how the name of a temporary file begins: process and thread


def final_name(name):
    """The name of a file without what `atomic_write` puts before it until it is complete."""
    writer = UNFINISHED.match(name)
    return name[writer.end() :] if writer else name


@contextmanager
def atomic_write(path):
    """Yield a temporary path that is renamed to `path` if the block succeeds and removed if it fails.

    What a process that was killed has left of this file is removed, too.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    for left in path.parent.glob(f".*-{glob.escape(path.name)}"):
        writer = UNFINISHED.match(left.name)
        if writer and final_name(left.name) == path.name and not _runs(int(writer["process"])):
            left.unlink(missing_ok=True)
    # threads of one process may write the same file, such as the thumbnail of two identical photographs
    temporary = path.with_name(f".{os.getpid()}.{threading.get_ident()}-{path.name}")
    try:
        yield temporary
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def locked(folder):
    """Hold the lock of a folder, which is made if need be. Others wait until the block or the process has ended."""
    Path(folder).mkdir(parents=True, exist_ok=True)
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _runs(number):
    """Whether there is a process of this number."""
    try:
        os.kill(number, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:  # of another user
        pass
    return True


def one_line(error, longest=1000):
    """An error, or its text, in one line of at most `longest` characters; an error of the operating system with its remedy."""
    text = " ".join(str(error).split())
    found = re.search(r"\[errno (\d+)\] ?", text, re.IGNORECASE)
    if found:
        text = text.replace(found[0], "")
        remedy = REMEDIES.get(int(found[1]))
        text += f": {remedy}" if remedy else ""
    return text if len(text) <= longest else f"{text[: longest - 4]} ..."
