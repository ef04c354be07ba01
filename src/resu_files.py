"""Files of arrays: written whole or not at all, read without pickle, refused with one clear sentence.

Identical content gives identical bytes: archive members carry no time stamp.
"""

import errno
import json
import os
import secrets
import stat
import zipfile
from collections.abc import Callable, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

PathLike = str | os.PathLike[str]


def write_atomically(path: PathLike, write: Callable[[BinaryIO], object]) -> None:
    """Let `write` fill a temporary file beside `path`, then rename it over `path`; on any error nothing is left.

    The file keeps its mode, a new one has what the umask leaves. Of a symbolic link the file that it names is written.
    Raises   OSError naming `path` if the disk is full, the folder cannot be written, or `path` is no file (a folder, a
             device, a pipe).
    """
    target = Path(os.path.realpath(path))
    temporary = target.with_name(f".{target.name[:40]}.{secrets.token_hex(8)}.tmp")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        before = target.stat() if target.exists() else None
        if before and not stat.S_ISREG(before.st_mode):
            raise OSError(errno.EINVAL, "it is a folder, a device or a pipe")
        with open(temporary, "xb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        if before:
            os.chmod(temporary, stat.S_IMODE(before.st_mode))
        os.replace(temporary, target)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise OSError(error.errno, f"cannot write {path}: {error.strerror or error}") from error
        raise


def write_npz(path: PathLike, compress: bool = False, **arrays: Any) -> None:
    """Write named arrays as an .npz archive without pickle and without time stamps.

    Raises   ValueError if an array would need pickle; OSError if the file cannot be written.
    """
    values = {name: np.asanyarray(value) for name, value in arrays.items()}
    for name, value in values.items():
        if value.dtype.hasobject:
            raise ValueError(f"{path}: array '{name}' holds Python objects and cannot be stored without pickle")

    def write(file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED if compress else zipfile.ZIP_STORED) as archive:
            for name, value in values.items():
                member = zipfile.ZipInfo(f"{name}.npy")  # a fixed date, so that equal arrays give equal bytes
                member.compress_type = archive.compression
                with archive.open(member, "w", force_zip64=True) as stream:
                    np.lib.format.write_array(stream, value, allow_pickle=False)

    write_atomically(path, write)


def read_npz(path: PathLike, required: tuple[str, ...] = (), remedy: str = "") -> dict[str, np.ndarray]:
    """Read every array of an .npz archive.

    required  names that must be present
    remedy    what the reader should run if the file is missing or damaged, e.g. "run python src/bc_pong.py"
    Raises    FileNotFoundError, or ValueError if the file is damaged or lacks a required array.
    """
    advice = f": {remedy}" if remedy else ""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} not found{advice}")
    try:
        with np.load(path, allow_pickle=False) as archive:
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise ValueError("it is not an .npz archive")
            arrays = {name: archive[name] for name in archive.files}
    except Exception as error:  # zipfile, zlib and numpy raise a dozen kinds here; all of them mean the same
        raise ValueError(f"{path} is damaged or not an .npz archive ({error}){advice}") from error
    missing = [name for name in required if name not in arrays]
    if missing:
        raise ValueError(f"{path} lacks the arrays {', '.join(missing)}{advice}")
    return arrays


def write_npy(path: PathLike, array: np.ndarray) -> None:
    """Write one array as .npy without pickle."""
    write_atomically(path, lambda file: np.lib.format.write_array(file, array, allow_pickle=False))


def write_rows(path: PathLike, blocks: Iterable[np.ndarray], n_columns: int) -> int:
    """Write blocks (n, n_columns) float32 below each other as one .npy file; one is written while the next is made.

    Returns  the number of rows          Raises   what making a block raises, OSError as `write_atomically`
    """
    n = 0

    def write(file: BinaryIO) -> None:
        nonlocal n

        def header() -> None:  # it has room for any number of digits
            file.seek(0)
            shape = {"descr": "<f4", "fortran_order": False, "shape": (n, n_columns)}
            np.lib.format.write_array_header_2_0(file, shape)

        header()
        with ThreadPoolExecutor(1) as writer:
            written: Future = writer.submit(int)
            for block in blocks:
                written.result()
                written = writer.submit(file.write, np.ascontiguousarray(block, "<f4").data)
                n += len(block)
            written.result()
        header()

    write_atomically(path, write)
    return n


def read_npy_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    """Shape, order (True: Fortran's) and dtype of an .npy file, which is read up to its numbers.

    Raises   ValueError if it is no .npy file.
    """
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(file)


def open_npy(path: PathLike, remedy: str = "") -> np.ndarray:
    """Map one .npy file; changes to the array stay in memory and never reach the file.

    Raises   FileNotFoundError, or ValueError if the file is truncated or not an .npy file.
    """
    advice = f": {remedy}" if remedy else ""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} not found{advice}")
    try:
        return np.load(path, mmap_mode="c", allow_pickle=False)
    except Exception as error:  # numpy raises several kinds for damaged files; all of them mean the same
        raise ValueError(f"{path} is truncated or not an .npy file ({error}){advice}") from error


def episode_starts(values: np.ndarray, n_steps: int, path: PathLike, remedy: str = "") -> np.ndarray:
    """The first index of each episode as a file brings them, checked.

    values    (E,) integers: 0 first, ascending, below n_steps (`path` and `remedy` are for the message)
    Returns   (E,) int64
    Raises    ValueError if they are anything else.
    """
    starts = values.astype(np.int64) if values.ndim == 1 and values.dtype.kind in "iu" and len(values) else None
    if starts is None or starts[0] != 0 or (np.diff(starts) <= 0).any() or starts[-1] >= max(n_steps, 1):
        shown = np.array2string(values, threshold=6, edgeitems=3, separator=", ").replace("\n", "")
        raise ValueError(
            f"{path}: the starts of episodes must be ascending integers, the first one 0 and all below the {n_steps} "
            f"steps, not {shown} ({values.dtype}){': ' + remedy if remedy else ''}"
        )
    return starts


def write_json(path: PathLike, value: Any) -> None:
    """Write a JSON document, indented, keys in insertion order, NaN and infinity refused."""
    text = json.dumps(value, indent=1, allow_nan=False) + "\n"
    write_atomically(path, lambda file: file.write(text.encode()))


def read_json(path: PathLike, remedy: str = "") -> Any:
    """Read a JSON document.

    Raises   FileNotFoundError, or ValueError if the file is not JSON.
    """
    advice = f": {remedy}" if remedy else ""
    if not Path(path).is_file():
        raise FileNotFoundError(f"{path} not found{advice}")
    try:
        return json.loads(Path(path).read_text())
    except ValueError as error:
        raise ValueError(f"{path} is truncated or not JSON ({error}){advice}") from error
