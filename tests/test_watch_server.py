"""The page's server without a browser: who may come in, what is refused, two windows, lost connections."""

import asyncio
import contextlib
import json
import logging
import tempfile
import time
from functools import partial
from pathlib import Path

import aiohttp
import numpy as np
import pytest

import watch
import watch_server
from encoders import fitted
from watch_messages import unpack
from watch_runner import Runner
from watch_server import Site
from watch_session import Session

RESULTS = Path(__file__).resolve().parent.parent / "results"
PATIENCE = 60  # seconds for anything


@pytest.fixture(autouse=True)
def own_folder(tmp_path, monkeypatch):
    """Uploads go to a folder that can be looked at."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    return tmp_path


class Window:
    """A page without a browser."""

    def __init__(self, site: Site, client: aiohttp.ClientSession, socket: aiohttp.ClientWebSocketResponse) -> None:
        self.site, self.client, self.socket, self.name = site, client, socket, ""

    async def say(self, **command) -> None:
        await self.socket.send_str(json.dumps(command))

    async def hear(self, kind: str, ack: bool = True, accept=lambda header: True):
        """The next answer of a kind."""
        for _ in range(5000):
            message = await self.socket.receive(timeout=PATIENCE)
            assert message.type == aiohttp.WSMsgType.BINARY, message
            header, arrays = unpack(message.data)
            if header["kind"] == "picture" and ack:
                await self.say(do="ack", number=header["number"])
            if header["kind"] == kind and accept(header):
                return header, arrays
        raise AssertionError(f"no {kind} came")

    async def post(self, data, window: str = "", **headers):
        url, origin = f"{self.site.address}video/{window or self.name}", origin_of(self.site)
        async with self.client.post(url, data=data, headers={"Origin": origin} | headers) as answer:
            return answer.status, await answer.text()


def origin_of(site: Site) -> str:
    return f"http://127.0.0.1:{site.port}"


@contextlib.asynccontextmanager
async def window(site: Site):
    async with (
        aiohttp.ClientSession() as client,
        client.ws_connect(f"{site.address}play", origin=origin_of(site), max_msg_size=1 << 28) as socket,
    ):
        found = Window(site, client, socket)
        found.name = (await found.hear("window"))[0]["window"]
        yield found


def served(test, **options) -> None:
    """Run test(site) beside a server of Pong."""

    async def go() -> None:
        make = options.pop("make", partial(Session, "pong", "random", RESULTS))
        async with Site(make, 0, **options).served() as site:
            await test(site)

    asyncio.run(asyncio.wait_for(go(), 3 * PATIENCE))


async def ask(site: Site, path: str = "/", method: str = "GET", **headers):
    async with aiohttp.ClientSession() as client:
        url = f"http://127.0.0.1:{site.port}{path.replace('TOKEN', site.token)}"
        async with client.request(method, url, headers=headers) as answer:
            return answer.status, await answer.text(), answer.headers


def test_the_page_is_there_and_loads_nothing_from_elsewhere():
    async def test(site):
        status, text, headers = await ask(site, "/TOKEN/")
        policy = headers["Content-Security-Policy"]
        assert status == 200 and "Watch it think" in text
        assert "default-src 'none'" in policy and "unsafe" not in policy and "*" not in policy
        nonce = policy.split("script-src 'nonce-")[1].split("'")[0]
        assert f'<script nonce="{nonce}">' in text and f'<style nonce="{nonce}">' in text and "{nonce}" not in text
        assert not any(word in text for word in ("http://", "https://", "src=", "@import", "url(", " style="))
        assert headers["X-Content-Type-Options"] == "nosniff" and headers["Referrer-Policy"] == "no-referrer"
        assert nonce not in (await ask(site, "/TOKEN/"))[1], "a new one each time"
        assert (await ask(site, "/TOKEN/", Host=f"localhost:{site.port}"))[0] == 200

    served(test)


@pytest.mark.parametrize(
    ("path", "headers", "words"),
    [
        ("/", {}, "not the address"),
        ("/index.html", {}, "not the address"),
        ("/TOKE/", {}, "not the address"),
        ("/TOKENx/", {}, "not the address"),
        ("/%C3%BC/", {}, "not the address"),
        ("/TOKEN/", {"Host": "evil.example:80"}, "answers to no other name"),
        ("/TOKEN/", {"Host": "127.0.0.1"}, "answers to no other name"),
        ("/TOKEN/", {"Host": "127.0.0.1:1"}, "answers to no other name"),
        ("/TOKEN/play", {}, "not asked by the page itself"),
        ("/TOKEN/play", {"Origin": "http://evil.example"}, "not asked by the page itself"),
        ("/TOKEN/play", {"Origin": "null"}, "not asked by the page itself"),
    ],
)
def test_whoever_does_not_know_the_address_is_refused(path, headers, words):
    async def test(site):
        status, text, answered = await ask(site, path, **headers)
        assert status == 403 and words in text and "\n" not in text and site.token not in text
        assert "X-Frame-Options" in answered

    served(test)


def test_a_websocket_needs_token_host_and_origin():
    async def test(site):
        good = {"origin": origin_of(site), "headers": {}}
        for url, options in (
            (f"{origin_of(site)}/wrong/play", good),
            (f"{site.address}play", {"headers": {}}),
            (f"{site.address}play", good | {"origin": "http://127.0.0.1:1"}),
            (f"{site.address}play", good | {"headers": {"Host": "evil.example"}}),
        ):
            async with aiohttp.ClientSession() as client:
                with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                    await client.ws_connect(url, **options)
                assert caught.value.status == 403 and not site.windows
        status, text, _ = await ask(site, "/TOKEN/play", Origin=origin_of(site))
        assert status == 400 and "open the page instead" in text

    served(test)


def test_bad_messages_are_answered_in_one_sentence_and_play_goes_on(caplog):
    async def test(site):
        async with window(site) as page:
            for said, words in (("no json", "must be JSON"), ('{"do": "fly"}', "one of ack"), ("[]", "an object")):
                await page.socket.send_str(said)
                assert words in (await page.hear("error"))[0]["text"]
            await page.socket.send_bytes(b"\0\1")
            assert "must be text" in (await page.hear("error"))[0]["text"]
            await page.say(do="play", game="pong", policy="nobody")
            assert "nobody called 'nobody'" in (await page.hear("error"))[0]["text"]
            first, _ = await page.hear("picture")
            await page.hear("picture", accept=lambda header: header["agents"][0]["steps"] > first["agents"][0]["steps"])

    with caplog.at_level(logging.WARNING, "watch"):
        served(test)
    said = [record.getMessage() for record in caplog.records]
    assert len(said) == 5 and not any("\n" in one for one in said), "each in the log, too"


def test_a_message_that_is_far_too_long_ends_its_window_alone():
    async def test(site):
        async with window(site) as other, window(site) as page:
            await page.socket.send_str("x" * 100_000)
            while (await page.socket.receive(timeout=PATIENCE)).type == aiohttp.WSMsgType.BINARY:
                pass
            await other.hear("picture")

    served(test)


def test_a_picture_waits_for_the_last_one_to_be_drawn_and_the_game_does_not():
    async def test(site):
        async with window(site) as page:
            await page.say(do="speed", rate=60)
            header, _ = await page.hear("picture", ack=False)
            (runner,) = site.windows.values()
            steps = runner.steps
            while runner.steps < steps + 40:
                await asyncio.sleep(0.02)
            assert runner.pictures == 1
            await page.say(do="ack", number=header["number"] + 7)
            await page.say(do="ack", number=header["number"])
            second, _ = await page.hear("picture", ack=False)
            assert second["number"] == header["number"] + 1
            assert second["agents"][0]["steps"] >= header["agents"][0]["steps"] + 40

    served(test)


def test_two_windows_do_not_disturb_each_other():
    async def test(site):
        async with window(site) as one, window(site) as two:
            await one.say(do="disturb", name="inversion")
            await two.say(do="pause", on=True)
            await one.hear("picture", accept=lambda header: len(header["agents"]) == 2 and not header["paused"])
            header, _ = await two.hear("picture", accept=lambda header: header["paused"])
            assert header["disturbance"] == "none" and len(header["agents"]) == 1
            await two.say(do="advance")
            later, _ = await two.hear("picture")
            assert later["agents"][0]["steps"] == header["agents"][0]["steps"] + 1
            status, text = await one.post(b"x", window="somebody")
            assert status == 404 and "reload the page" in text

    served(test)


def test_too_many_windows_are_refused(monkeypatch):
    monkeypatch.setattr(watch_server, "WINDOWS", 1)

    async def test(site):
        async with window(site):
            with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
                async with window(site):
                    pass
            assert caught.value.status == 503
        await gone(site)
        async with window(site) as page:
            await page.hear("picture")

    served(test)


async def gone(site: Site) -> None:
    started = time.monotonic()
    while site.windows:
        assert time.monotonic() < started + PATIENCE
        await asyncio.sleep(0.01)


def test_a_connection_that_drops_ends_its_session_and_its_files(own_folder):
    async def test(site):
        async with window(site) as page:
            (runner,) = site.windows.values()
            np.save(own_folder / "x.npy", fitted(shape=(40, 30), moving=0.2)[1])
            assert (await page.post((own_folder / "x.npy").read_bytes(), **{"X-Name": "x.npy"}))[0] == 200
            await page.hear("picture", accept=lambda header: header["agents"][0]["world"] == "x.npy")
            assert list(own_folder.glob("watch_*"))
            page.socket._response.connection.transport.abort()  # no good-bye
        await gone(site)
        await asyncio.to_thread(runner.join, PATIENCE)
        assert not runner.is_alive() and not list(own_folder.glob("watch_*"))

    served(test)


def test_a_video_is_shown_and_what_is_none_is_said(own_folder):
    async def test(site):
        async with window(site) as page:
            status, _ = await page.post(b"hello", **{"X-Name": "h%C3%A4.mp4"})
            header, _ = await page.hear("error")
            assert status == 200 and header["text"].startswith("hä.mp4 is damaged or not a video")
            np.save(own_folder / "x.npy", fitted(shape=(40, 30), moving=0.2)[1])
            await page.post((own_folder / "x.npy").read_bytes(), **{"X-Name": "../../x.npy"})
            header, arrays = await page.hear("picture", accept=lambda header: header["policy"] == "")
            assert header["agents"][0]["world"] == "x.npy" and arrays[2].shape == (8, 40, 30)
            await page.say(do="play", game="breakout", policy="random")
            await page.hear("picture", accept=lambda header: header["game"] == "breakout")

    served(test)


def test_too_large_a_video_is_refused_whether_it_says_so_or_not(own_folder):
    async def drip():
        for _ in range(100):
            yield b"x" * 100_000

    async def test(site):
        async with window(site) as page:
            status, text = await page.post(b"x" * (site.largest + 1))
            assert status == 413 and "2 MB at most" in text
            with contextlib.suppress(aiohttp.ClientError):  # it may be cut off while it sends
                status, text = await page.post(drip())
                assert status == 413 and "2 MB at most" in text
            assert not list(own_folder.glob("watch_*"))
            async with page.client.post(f"{site.address}video/{page.name}", data=b"x") as answer:
                assert answer.status == 403
            await page.hear("picture")

    served(test, largest=2 << 20)


def test_a_film_comes_as_a_gif():
    async def test(site):
        async with window(site) as page:
            await page.hear("picture", accept=lambda header: header["agents"][0]["steps"] > 15)
            await page.say(do="film")
            header, (gif,) = await page.hear("film")
            assert header["name"] == "pong.gif" and gif.tobytes()[:6] == b"GIF89a"

    served(test)


class Failing(Session):
    """It breaks at the tenth step, and only then."""

    def step(self):
        super().step()
        if self.live.steps == 10:
            raise ZeroDivisionError("the tenth step\nis bad")


def test_an_error_pauses_its_window_with_a_sentence_and_the_server_goes_on(capfd):
    async def test(site):
        async with window(site) as page:
            header, _ = await page.hear("error")
            assert header["text"] == "something went wrong: the tenth step"
            await page.say(do="speed", rate=20)
            await page.hear("picture", accept=lambda header: header["paused"])
            await page.say(do="pause", on=False)
            await page.hear("picture", accept=lambda header: header["agents"][0]["steps"] > 12)
        async with window(site) as page:
            await page.hear("picture")

    served(test, make=partial(Failing, "pong", "random", RESULTS))


def test_a_session_that_cannot_begin_says_so():
    async def test(site):
        async with window(site) as page:
            assert "unknown game 'doom'" in (await page.hear("error"))[0]["text"]

    served(test, make=partial(Session, "doom", "", RESULTS))


def test_a_port_in_use_is_said():
    async def test(site):
        with pytest.raises(ValueError, match=f"port {site.port} is in use: choose another one with --port"):
            async with Site(site.make, site.port).served():
                pass
        assert (await ask(site, "/TOKEN/"))[0] == 200

    served(test)


def test_a_runner_does_not_take_commands_without_end():
    runner = Runner(lambda: None, lambda message: None)
    for _ in range(1000):
        runner.tell(None)
    with pytest.raises(ValueError, match="too many commands"):
        runner.tell(None)
    runner.stop()
    with pytest.raises(ValueError, match="has gone"):
        runner.tell(None)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"game": "doom"}, "unknown game 'doom': choose one of pong"),
        ({"clone": "x"}, "there is no clone x: choose one of pong_reactive"),
        ({"clone": "pong_ppo", "game": "breakout"}, "pong_ppo does not play Breakout: choose one of breakout_"),
        ({"port": 70000}, "--port must be a number from 0 to 65535"),
    ],
)
def test_options_that_make_no_sense_are_refused(options, words):
    with pytest.raises(ValueError, match=words):
        watch.check(watch.Config(**options))


def test_a_clone_that_is_not_there_is_named_with_its_remedy(tmp_path):
    assert watch.first(watch.Config(), tmp_path) == ("pong", "")
    assert watch.first(watch.Config(clone="breakout_ppo"), RESULTS) == ("breakout", "breakout_ppo")
    with pytest.raises(FileNotFoundError, match=r"run python src/ppo_pong\.py"):
        watch.first(watch.Config(clone="pong_ppo"), tmp_path)
