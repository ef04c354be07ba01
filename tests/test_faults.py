"""Damaged files, killed writers, full disks: a clear error, nothing lost that was finished, nothing half written."""

import errno
import multiprocessing
import os
import resource
import signal
import time

import numpy as np
import pytest

import resu_files
from dense_head import DenseHead
from resu_conv import ReSUEncoder
from resu_moments import LagMoments

ROUNDS = 150  # altered files per kind


@pytest.fixture(scope="module")
def frames():
    return np.random.default_rng(0).integers(0, 255, (60, 6, 7), np.uint8).cumsum(axis=0, dtype=np.uint8)


def saved(kind, frames, path):
    """A file of this kind, its reader, and what makes two read objects equal."""
    if kind == "moments":
        LagMoments(3, 2).update(frames.reshape(len(frames), -1)).save(path)
        return LagMoments.load, lambda m: (m.gram.tobytes(), m.sums.tobytes(), m.n_windows, m.center)
    if kind == "head":
        rng = np.random.default_rng(1)
        DenseHead([rng.normal(size=(3, 5)).astype(np.float32)], [np.zeros(3, np.float32)]).save(path)
        return lambda p: DenseHead.load(p)[0], lambda h: h.weights[0].tobytes() + h.biases[0].tobytes()
    layers = 2 if kind == "deep encoder" else 1
    encoder = ReSUEncoder(3, 2, 2, (2, 3), layers, memory2=2, horizon2=2, n_units2=3).fit(frames)
    encoder.save(path)
    return ReSUEncoder.load, lambda e: e.encode(frames).tobytes()


@pytest.mark.parametrize("kind", ["moments", "head", "encoder", "deep encoder"])
def test_an_altered_file_is_refused_or_read_as_it_was(kind, frames, tmp_path):
    """Cut anywhere, or with some bytes changed: ValueError, or (where nothing that counts was hit) the same object."""
    path = tmp_path / "file.npz"
    load, content = saved(kind, frames, path)
    whole = path.read_bytes()
    wanted = content(load(path))
    rng = np.random.default_rng(2)
    refused = 0
    for i in range(ROUNDS):
        data = bytearray(whole)
        if i % 3 == 0:
            data = data[: rng.integers(len(data))]
        else:
            for place in rng.integers(0, len(data), 1 if i % 3 == 1 else 8):
                data[place] ^= 1 << rng.integers(8)
        path.write_bytes(data)
        try:
            found = load(path)
        except ValueError as error:
            refused += 1
            assert path.name in str(error)
        else:
            assert content(found) == wanted
    assert refused > ROUNDS / 2


def test_nothing_is_ever_unpickled(tmp_path):
    """An archive whose array is a pickle that would run code: refused, and nothing ran."""
    trace = tmp_path / "ran"

    class Evil:
        def __reduce__(self):
            return (os.mkdir, (str(trace),))

    path = tmp_path / "evil.npz"
    np.savez(path, kind=np.array([Evil()], object), n_layers=np.array([Evil()], object))
    for load in (LagMoments.load, ReSUEncoder.load, DenseHead.load):
        with pytest.raises(ValueError, match=r"evil\.npz"):
            load(path)
    with pytest.raises(ValueError, match="Python objects"):
        resu_files.write_npz(tmp_path / "x.npz", a=np.array([Evil()], object))
    assert not trace.exists()


def write_for_ever(folder, finished):
    """Rewrite a few files in turn with ever new contents; say so after each."""
    i = 0
    while True:
        i += 1
        resu_files.write_npz(folder / f"{i % 3}.npz", i=i, values=np.full(20_000, i))
        resu_files.write_json(folder / f"{i % 3}.json", {"i": i, "values": [i] * 500})
        finished.value = i


def test_killed_at_fifty_moments_nothing_finished_is_lost(tmp_path):
    context = multiprocessing.get_context("fork")
    rng = np.random.default_rng(3)
    written = 0
    for _ in range(50):
        finished = context.Value("l", 0, lock=False)
        writer = context.Process(target=write_for_ever, args=(tmp_path, finished))
        writer.start()
        while not finished.value and writer.is_alive():
            time.sleep(0.0005)
        time.sleep(rng.uniform(0, 0.05))
        os.kill(writer.pid, signal.SIGKILL)
        writer.join()
        last = finished.value
        written += last
        for back in range(min(last, 3)):  # what was finished is there, whole, or newer
            i = last - back
            arrays = resu_files.read_npz(tmp_path / f"{i % 3}.npz", ("i", "values"))
            document = resu_files.read_json(tmp_path / f"{i % 3}.json")
            assert arrays["i"] in (i, i + 3) and (arrays["values"] == arrays["i"]).all()
            assert document["i"] in (i, i + 3) and document["values"] == [document["i"]] * 500
    assert written >= 50  # every round finished at least one


def full_disk(path, answer):
    """Write more than this process may."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    try:
        resu_files.write_npz(path, values=np.zeros(100_000))
    except OSError as error:
        answer.put((error.errno, str(error)))
    else:
        answer.put((0, "written"))


def test_a_full_disk_is_an_error_that_names_the_file_and_leaves_the_old_one(tmp_path):
    context = multiprocessing.get_context("fork")
    path = tmp_path / "results.npz"
    resu_files.write_npz(path, values=np.arange(3))
    answer = context.SimpleQueue()
    writer = context.Process(target=full_disk, args=(path, answer))
    writer.start()
    number, message = answer.get()
    writer.join()
    assert number == errno.EFBIG and str(path) in message
    assert resu_files.read_npz(path)["values"].tolist() == [0, 1, 2]
    assert [p.name for p in tmp_path.iterdir()] == ["results.npz"]
