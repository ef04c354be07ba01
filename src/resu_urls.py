"""Files behind URLs of any kind that fsspec knows (https, s3, gs, memory, ...); paths of this machine stay as they are.

What is read in pieces is read where it lies (`reading`); what must be a file is fetched first (`fetched`). fsspec
and what it needs for a kind of URL are imported when a URL comes along, not before.
"""

from __future__ import annotations

import contextlib
import glob
import os
import re
import tempfile
from collections.abc import Iterator
from io import BufferedIOBase
from typing import Any

from resu_files import PathLike


def is_url(path: PathLike) -> bool:
    """Whether a path is a URL: begins with a protocol of at least two letters, also a chain of them as fsspec has it.

    >>> is_url("s3://bucket/a.npy"), is_url("data/a.npy"), is_url("C://a.npy")
    (True, False, False)
    """
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+(::.*)?://", os.fspath(path)) is not None


def suffix(path: PathLike) -> str:
    """What a file's name ends with, in small letters, without a URL's query: ".mp4"."""
    name = os.fspath(path)
    return os.path.splitext(re.split(r"[?#]", name)[0] if is_url(name) else name)[1].lower()


def absolute(path: PathLike) -> str:
    """A path that other processes understand; a URL stays as it is."""
    return os.fspath(path) if is_url(path) else os.path.abspath(path)


def expand(pattern: str) -> list[str]:
    """The paths that a pattern stands for, as `glob.glob`; a URL without * stands for itself, there or not.

    Raises   ValueError if the URL cannot be looked at.
    """
    if not is_url(pattern):
        return [pattern] if os.path.exists(pattern) else glob.glob(pattern)  # a name may hold a *, ? or [
    if "*" not in pattern:
        return [pattern]
    with _one_sentence(pattern):
        system, path = _fsspec().core.url_to_fs(pattern)
        return [system.unstrip_protocol(name) for name in system.glob(path)]


def identity(path: PathLike) -> object:
    """What two names of the same file share, links included; of a URL the URL itself."""
    if is_url(path):
        return os.fspath(path)
    status = os.stat(path)
    return status.st_dev, status.st_ino


def state(path: PathLike) -> object:
    """What changes when a file does: its name, size and time, or what a server tells of it; None if there is none.

    Raises   ValueError if a URL cannot be looked at.
    """
    if not is_url(path):
        status = os.stat(path) if os.path.isfile(path) else None
        return status and (os.path.realpath(path), status.st_size, status.st_mtime_ns)
    if not exists(path):
        return None
    with _one_sentence(path):
        system, name = _fsspec().core.url_to_fs(os.fspath(path))
        return os.fspath(path), system.ukey(name)


def exists(path: PathLike) -> bool:
    """Whether there is a file. Raises ValueError if a kind of URL needs what is not installed."""
    if not is_url(path):
        return os.path.isfile(path)
    with _one_sentence(path):
        system, name = _fsspec().core.url_to_fs(os.fspath(path))
        return bool(system.isfile(name))


def size(file: BufferedIOBase) -> int:
    """Bytes of an opened file; where it is read next does not change."""
    place = file.tell()
    end = file.seek(0, os.SEEK_END)
    file.seek(place)
    return end


@contextlib.contextmanager
def reading(path: PathLike) -> Iterator[BufferedIOBase]:
    """A file to be read in any order. Do nothing else inside the block: what fails there is the fault of the URL.

    Raises   FileNotFoundError, or ValueError if a URL cannot be reached, or only be read from its start.
    """
    if not is_url(path):
        if not os.path.isfile(path):
            raise FileNotFoundError(f"{path} not found")
        with open(path, "rb") as file:
            yield file
        return
    with _one_sentence(path), _fsspec().open(os.fspath(path), "rb") as file:
        if not file.seekable():
            raise ValueError("its server does not deliver parts of a file")
        yield file


@contextlib.contextmanager
def fetched(path: PathLike) -> Iterator[str]:
    """The path of a file or folder of this machine: `path` itself, or what is behind a URL, until the block ends.

    Raises   FileNotFoundError, or ValueError if a URL cannot be fetched.
    """
    if not is_url(path):
        yield os.fspath(path)
        return
    with tempfile.TemporaryDirectory(prefix="resu-") as folder:
        target = os.path.join(folder, "file" + suffix(path))
        with _one_sentence(path):
            system, name = _fsspec().core.url_to_fs(os.fspath(path))
            system.get(name, target, recursive=not suffix(path) and system.isdir(name))
        yield target


def _fsspec() -> Any:
    try:
        import fsspec  # only where a URL comes along
    except ImportError as error:
        raise ImportError("URLs need fsspec: pip install 'resu-features[url]'") from error
    return fsspec


@contextlib.contextmanager
def _one_sentence(path: PathLike) -> Iterator[None]:
    """What file systems raise, in one sentence that names the URL."""
    try:
        yield
    except FileNotFoundError as error:
        why = f" ({error.__cause__})" if error.__cause__ else ""  # a server that cannot be reached, for example
        raise FileNotFoundError(f"{path} not found{why}") from error
    except Exception as error:  # each kind of file system has its own, and some are not installed
        raise ValueError(f"{path} cannot be fetched ({error or type(error).__name__})") from error
