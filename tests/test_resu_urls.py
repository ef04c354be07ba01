"""URLs: what is behind them is what the file has; servers that are gone, slow of mind or not there are one sentence."""

import http.server
import os
import threading
from pathlib import Path

import fsspec
import numpy as np
import pytest

import fit_encoder
import resu_files
import resu_sharding
import resu_urls
import resu_video
import stage_io
from resu_conv import ReSUEncoder

OPTIONS = {"memory": 4, "horizon": 2, "n_units": 2, "grid": (2, 2)}


class Handler(http.server.SimpleHTTPRequestHandler):
    """Files of a folder, parts of them too unless `parts` is False; /broken/... is an error of the server."""

    parts = True

    def log_message(self, *words: object) -> None:
        """Say nothing."""

    def do_HEAD(self) -> None:
        self.do_GET()

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        if not path.is_file():
            self.send_error(500 if "broken" in self.path else 404)
            return
        content, span = path.read_bytes(), self.headers.get("Range") if self.parts else None
        self.send_response(206 if span else 200)
        if span:
            first, last = span.removeprefix("bytes=").split("-")
            start, stop = int(first), min(int(last or len(content)) + 1, len(content))
            self.send_header("Content-Range", f"bytes {start}-{stop - 1}/{len(content)}")
            content = content[start:stop]
        if self.parts:
            self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(content)


@pytest.fixture
def served(tmp_path):
    """serve(parts) -> the address of a server of tmp_path."""
    servers = []

    def serve(parts: bool = True) -> str:
        options = {
            "parts": parts,
            "__init__": lambda self, *a: super(kind, self).__init__(*a, directory=tmp_path),
        }
        kind = type("Its", (Handler,), options)
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        return f"http://127.0.0.1:{server.server_port}"

    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture
def frames(tmp_path) -> np.ndarray:
    """Frames in tmp_path/a.npy, with two episodes in a.npz beside it, and in colour in c.npy."""
    found = np.random.default_rng(0).integers(0, 256, (90, 12, 10)).astype(np.uint8)
    resu_files.write_npy(tmp_path / "a.npy", found)
    resu_files.write_npz(tmp_path / "a.npz", starts=np.array([0, 40]))
    resu_files.write_npy(tmp_path / "c.npy", np.stack([found] * 3, axis=-1))
    return found


def urls(tmp_path: Path, serve) -> list[str]:
    """The same files behind three kinds of URL."""
    memory = fsspec.filesystem("memory")
    for name in ("a.npy", "a.npz", "c.npy"):
        memory.pipe(f"/{tmp_path.name}/{name}", (tmp_path / name).read_bytes())
    return [serve(), f"memory://{tmp_path.name}", f"file://{tmp_path}"]


def test_a_url_in_is_a_file_in(frames, tmp_path, served, monkeypatch):
    monkeypatch.setattr(resu_sharding, "BLOCK", 16)
    wanted = ReSUEncoder(**OPTIONS).fit([frames[:40], frames[40:]])
    for base in urls(tmp_path, served):
        for shard in (7, 1000):
            fitted = resu_sharding.fit(f"{base}/a.npy", shard=shard, **OPTIONS)
            assert fitted.moments_ == wanted.moments_ and np.array_equal(fitted.filters_, wanted.filters_)
        resu_sharding.encode_file(wanted, f"{base}/a.npy", tmp_path / "f.npy")
        encoded = np.concatenate([wanted.encode(frames[:40]), wanted.encode(frames[40:])])
        assert np.array_equal(np.load(tmp_path / "f.npy"), encoded)
        clip = resu_video.fit(f"{base}/c.npy", **OPTIONS)
        assert clip.moments_ == ReSUEncoder(**OPTIONS).fit([frames]).moments_
        with pytest.raises(ValueError, match="are the same file"):
            resu_sharding.fit([f"{base}/a.npy", f"{base}/a.npy"], **OPTIONS)


def test_what_was_fetched_goes_away_with_the_clip(frames, tmp_path, served, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path / "fetched"))
    (tmp_path / "fetched").mkdir()
    monkeypatch.setattr("tempfile.tempdir", None)
    clip = resu_video.Clip(f"{served()}/c.npy")
    assert len(list((tmp_path / "fetched").rglob("file.npy"))) == 1
    assert np.array_equal(np.concatenate(list(clip.blocks())), frames)
    del clip
    assert not list((tmp_path / "fetched").iterdir())
    with pytest.raises(FileNotFoundError):
        resu_video.Clip(f"{served()}/gone.npy")
    assert not list((tmp_path / "fetched").iterdir())


def test_a_command_takes_urls_and_stars_in_them(frames, tmp_path, served, monkeypatch):
    monkeypatch.setattr(stage_io, "ROOT", tmp_path / "root")
    monkeypatch.chdir(tmp_path)
    base = urls(tmp_path, served)
    for i, url in enumerate((f"{base[0]}/a.npy", f"{base[1]}/a.np*y", f"file://{tmp_path}/*a.npy")):
        fit_encoder.STAGE.main([url, "--out", f"e{i}.npz", "--workers", "1", "--grid", "2", "2"])
        found = ReSUEncoder.load(f"e{i}.npz")
        assert np.array_equal(found.filters_, ReSUEncoder(grid=(2, 2)).fit([frames[:40], frames[40:]]).filters_)
    fit_encoder.STAGE.main([f"{base[0]}/c.npy", "--out", "c.npz", "--grid", "2", "2", "--film", "c.gif", "--encode"])
    assert Path("c.gif").stat().st_size > 1000 and np.load("c_features.npy").shape == (90, 32)


def test_unreachable_urls_are_one_sentence(frames, tmp_path, served):
    base, whole = served(), served(parts=False)
    closed = "http://127.0.0.1:9"  # the port of discard: nobody listens
    cases = (
        (f"{base}/gone.npy", "gone.npy not found"), (f"{base}/broken/a.npy", "broken/a.npy cannot|not found"),
        (f"{closed}/a.npy", "a.npy cannot be fetched|a.npy not found .*onnect"),
        ("nothing://here/a.npy", "nothing://here/a.npy cannot be fetched .*nothing"),
        ("s3://bucket/a.npy", "s3://bucket/a.npy cannot be fetched .*s3fs"), ("memory://no/a.npy", "a.npy not found"),
    )  # fmt: skip
    for use in (lambda url: resu_sharding.fit(url, **OPTIONS), lambda url: resu_video.fit(url, **OPTIONS)):
        for url, why in cases:
            with pytest.raises((ValueError, FileNotFoundError), match=why) as error:
                use(url)
            assert "\n" not in str(error.value)
    with pytest.raises(ValueError, match=r"a\.npy cannot be fetched .*range requests"):
        resu_sharding.fit(f"{whole}/a.npy", **OPTIONS)
    fitted = resu_video.fit(f"{whole}/a.npy", **OPTIONS)  # as a clip it is fetched as a whole
    assert fitted.moments_ == ReSUEncoder(**OPTIONS).fit([frames]).moments_


def test_names_of_this_machine_stay_what_they_are(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("a[1].npy", "b*.npy", "c.npy"):
        resu_files.write_npy(tmp_path / name, np.zeros((9, 4, 4), np.uint8))
    assert resu_urls.expand("a[1].npy") == ["a[1].npy"] and resu_urls.expand("b*.npy") == ["b*.npy"]
    assert sorted(resu_urls.expand("*.npy")) == ["a[1].npy", "b*.npy", "c.npy"] and resu_urls.expand("d.npy") == []
    assert resu_urls.absolute("c.npy") == os.path.join(os.getcwd(), "c.npy")
    assert resu_urls.absolute("s3://x/c.npy") == "s3://x/c.npy"
    assert resu_urls.suffix("https://x/a.MP4?sig=b.c#d") == ".mp4" and resu_urls.suffix("what?.NPY") == ".npy"
    with resu_urls.fetched("c.npy") as path:
        assert path == "c.npy"
    with pytest.raises(FileNotFoundError, match=r"d\.npy not found"):
        resu_urls.reading("d.npy").__enter__()
