"""What files may bring, and how they are written: indices are checked, links and modes are kept, devices refused."""

import os
import stat

import numpy as np
import pytest

import resu_files
import resu_sharding
from atari_play import Buffer
from resu_conv import ReSUEncoder
from resu_sharding import FrameFile

OPTIONS = {"memory": 3, "horizon": 2, "n_units": 2, "grid": (3, 2)}
WRONG = (
    [200], [], [0, 300, 100], [0, 5000], [0, 100, 100], [-1, 100], [0.0, 100.0], [[0, 100]], [True, False], 0,
)  # fmt: skip


@pytest.fixture
def frames(tmp_path):
    found = np.random.default_rng(0).integers(0, 256, (500, 9, 7), np.uint8)
    np.save(tmp_path / "a.npy", found)
    return found


@pytest.mark.parametrize("starts", WRONG)
def test_starts_that_are_no_beginnings_are_refused_wherever_a_file_brings_them(frames, tmp_path, starts):
    np.savez(tmp_path / "a.npz", starts=np.array(starts))
    with pytest.raises(ValueError, match=r"a\.npz: the starts of episodes must be ascending integers"):
        FrameFile(tmp_path / "a.npy")
    with pytest.raises(ValueError, match="starts of episodes"):
        resu_sharding.fit([tmp_path / "a.npy"], **OPTIONS)
    zeros = np.zeros(500, np.uint8)
    buffer = Buffer(frames, np.zeros((500, 128), np.uint8), zeros, zeros, zeros.astype(np.float32), np.array(starts))
    buffer.save(tmp_path / "game")
    with pytest.raises(ValueError, match=r"game\.npz: the starts .*: run it again"):
        Buffer.load(tmp_path / "game", "run it again")


def test_good_starts_are_taken(frames, tmp_path):
    np.savez(tmp_path / "a.npz", starts=np.array([0, 100, 300], np.uint16))
    assert FrameFile(tmp_path / "a.npy").episodes() == [(0, 100), (100, 300), (300, 500)]
    wanted = ReSUEncoder(**OPTIONS).fit([frames[:100], frames[100:300], frames[300:]])
    found = resu_sharding.fit(tmp_path / "a.npy", **OPTIONS)  # one path is one file
    assert np.array_equal(found.filters_, wanted.filters_)
    assert np.array_equal(resu_sharding.fit(str(tmp_path / "a.npy"), **OPTIONS).filters_, wanted.filters_)


def test_a_file_is_read_once_by_whatever_name(frames, tmp_path):
    (tmp_path / "link.npy").symlink_to("a.npy")
    os.link(tmp_path / "a.npy", tmp_path / "hard.npy")
    for other in (tmp_path / "a.npy", tmp_path / "link.npy", tmp_path / "hard.npy", tmp_path / "." / "a.npy"):
        with pytest.raises(ValueError, match="are the same file: its frames would count twice"):
            resu_sharding.fit([tmp_path / "a.npy", other], **OPTIONS)
    with pytest.raises(ValueError, match="would replace its frames"):
        encoder = ReSUEncoder(**OPTIONS).fit(frames)
        resu_sharding.encode_file(encoder, tmp_path / "a.npy", tmp_path / "link.npy")
    assert np.array_equal(np.load(tmp_path / "a.npy"), frames)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"shard": 2.5}, "whole number of frames, at least one, not 2.5"),
        ({"shard": 0}, "at least one, not 0"),
        ({"n_jobs": 0}, "n_jobs must be a number of processes, or -1 for all cores, not 0"),
        ({"n_jobs": 1.5}, "not 1.5"),
    ],
)
def test_numbers_of_shards_and_processes_are_whole(frames, tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        resu_sharding.fit(tmp_path / "a.npy", **options, **OPTIONS)


def mode(path):
    return stat.S_IMODE(os.stat(path).st_mode)


def test_a_new_file_has_what_the_umask_leaves_and_an_old_one_keeps_its_mode(tmp_path):
    before = os.umask(0o027)
    try:
        resu_files.write_json(tmp_path / "new.json", 1)
    finally:
        os.umask(before)
    assert mode(tmp_path / "new.json") == 0o640
    os.chmod(tmp_path / "new.json", 0o604)
    resu_files.write_json(tmp_path / "new.json", 2)
    assert mode(tmp_path / "new.json") == 0o604 and resu_files.read_json(tmp_path / "new.json") == 2


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link.json").symlink_to(tmp_path / "real" / "file.json")
    for value in (1, 2):  # at first it names nothing
        resu_files.write_json(tmp_path / "link.json", value)
        assert (tmp_path / "link.json").is_symlink() and resu_files.read_json(tmp_path / "real" / "file.json") == value


def test_what_is_no_file_is_never_replaced(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to("pipe")
    for name in ("pipe", "folder", "link"):
        with pytest.raises(OSError, match=f"cannot write .*{name}: it is a folder, a device or a pipe"):
            resu_files.write_json(tmp_path / name, 1)
    assert stat.S_ISFIFO(os.stat(tmp_path / "pipe").st_mode)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder", "link", "pipe"]


def test_rows_in_blocks_are_the_bytes_of_the_whole(tmp_path):
    x = np.random.default_rng(0).random((12_345, 7), np.float32)
    for size in (1000, 12_345):
        blocks = (x[start : start + size] for start in range(0, len(x), size))
        assert resu_files.write_rows(tmp_path / "rows.npy", blocks, 7) == len(x)
        with open(tmp_path / "whole.npy", "wb") as file:
            np.lib.format.write_array(file, x, version=(2, 0))
        assert (tmp_path / "rows.npy").read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert resu_files.write_rows(tmp_path / "none.npy", [], 7) == 0
    assert np.load(tmp_path / "none.npy").shape == (0, 7)

    def fails():
        yield x[:10]
        raise ValueError("no more")

    with pytest.raises(ValueError, match="no more"):
        resu_files.write_rows(tmp_path / "rows.npy", fails(), 7)
    assert np.array_equal(np.load(tmp_path / "rows.npy"), x) and len(list(tmp_path.iterdir())) == 3
