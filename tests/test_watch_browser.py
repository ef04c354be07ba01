"""The page in a real browser, Chromium without a screen; skipped where there is none (`make test-browser` helps)."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from encoders import fitted

playwright = pytest.importorskip(
    "playwright.sync_api", reason="Playwright is not installed: make test-browser installs it and runs this"
)
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), "")
if not CHROMIUM:
    pytest.skip("no Chromium here: make test-browser installs it and runs this", allow_module_level=True)
ROOT = Path(__file__).resolve().parent.parent
PATIENCE = 60  # seconds for anything
SHOTS = os.environ.get("WATCH_SHOTS", "")  # a folder for pictures of the page
NEXT_FOCUS = """() => { const e = document.activeElement; return e === document.body ? "" : e.id || e.tagName; }"""
SMALL_LETTERS = """() => [...document.querySelectorAll("body *")].filter((e) => e.checkVisibility()
    && [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim())
    && parseFloat(getComputedStyle(e).fontSize) < 12).map((e) => e.outerHTML.slice(0, 80))"""
LIT = """(canvas) => canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height).data.reduce(
    (sum, v, i) => sum + (i % 4 < 3 ? v : 0), 0)"""


class Served:
    """The server in a process of its own."""

    def __init__(self, port: int = 0) -> None:
        environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        command = [sys.executable, str(ROOT / "src" / "watch.py"), "--no-open", "--port", str(port)]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
        )
        assert self.process.stdout is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)/\S+/", self.process.stdout.readline())
        assert found, "no address was printed"
        self.address, self.port = found.group(), int(found.group(1))

    def end(self) -> str:
        """As Ctrl-C does; what it said on stderr."""
        self.process.send_signal(signal.SIGINT)
        said = self.process.communicate(timeout=PATIENCE)[1]
        assert self.process.returncode == 0, said
        return said


@pytest.fixture(scope="module")
def served():
    server = Served()
    yield server
    said = server.end()
    assert "Traceback" not in said and "leaked" not in said, said


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(browser, served):
    context = browser.new_context(viewport={"width": 1280, "height": 720}, accept_downloads=True)
    yield opened(context, served.address)
    context.close()


def opened(context, address):
    """The page, with what went wrong on it in `wrong` and what it asked for in `asked`."""
    page = context.new_page()
    page.wrong, page.asked = [], []
    page.on("console", lambda message: page.wrong.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: page.wrong.append(str(error)))
    page.on("request", lambda request: page.asked.append(request.url))
    page.set_default_timeout(PATIENCE * 1000)
    page.goto(address)
    page.wait_for_selector("body[data-pictures]")
    return page


def until(what, *, is_true=bool):
    """what(), as soon as it is so."""
    end = time.monotonic() + PATIENCE
    while not is_true(found := what()):
        assert time.monotonic() < end, f"still {found!r}"
        time.sleep(0.05)
    return found


def steps(page, i: int = 0) -> int:
    return int(page.locator(".steps").nth(i).inner_text().replace(",", ""))


def panes(page) -> list[str]:
    return page.locator(".pane h2 b").all_inner_texts()


def shoot(page, name: str) -> None:
    if SHOTS:
        page.screenshot(path=f"{SHOTS}/{name}.png", full_page=page.viewport_size["width"] < 800)


def test_it_plays_and_shows_maps_of_four_units_and_asks_for_nothing_elsewhere(page, served):
    before = steps(page)
    until(lambda: steps(page) > before + 10)
    assert panes(page) == ["Pong"] and page.locator(".unit").count() == 4
    assert page.locator(".unit .name").first.inner_text() == "filter 1 (low-pass)"
    assert page.locator(".bars .chosen").count() == 1
    assert page.locator(".map").first.evaluate(LIT) > 84 * 84 * 3 * 18, "something is lit"
    assert page.wrong == [] and all(url.startswith((served.address, "data:")) for url in page.asked), page.asked
    assert page.evaluate(SMALL_LETTERS) == []
    shoot(page, "pong")


def test_pause_step_and_speed(page):
    page.click("#pause")
    until(lambda: page.inner_text("#pause") == "Go on")
    still = steps(page)
    page.click("#advance")
    until(lambda: steps(page) == still + 1)
    time.sleep(0.3)
    assert steps(page) == still + 1
    page.click("#pause")
    page.fill("#rate", "60")
    until(lambda: float(page.inner_text("#status").split()[0]) > 40)


def test_disturbed_it_is_two_of_which_one_adapts_and_a_reset_ends_it(page):
    until(lambda: steps(page) > 35)
    page.select_option("#disturbance", "inversion")
    until(lambda: panes(page) == ["frozen:", "live:"])
    assert page.input_value("#mode") == "photometric" and page.locator("#strength-row").is_hidden()
    until(lambda: "gain" in page.locator(".adapts").nth(1).inner_text())
    until(lambda: steps(page) > 330)
    until(lambda: page.locator(".score").first.inner_text() != page.locator(".score").nth(1).inner_text())
    shoot(page, "disturbed")
    page.emulate_media(color_scheme="dark")
    shoot(page, "disturbed_dark")
    page.select_option("#mode", "full")
    until(lambda: "fitted anew" in page.locator(".adapts").nth(1).inner_text())
    page.click("#reset")
    until(lambda: panes(page) == ["Pong"] and steps(page) < 100)
    assert page.wrong == []


def test_a_code_is_fitted_on_the_spot(page):
    for name, value in (("memory", 6), ("units", 3), ("frames", 300)):
        page.fill(f"#{name}", str(value))
    page.click("#fit")
    until(lambda: page.locator(".unit").count() == 3)
    assert "300 frames of random play" in page.locator(".code").inner_text()
    until(lambda: page.input_value("#policy") == "expert winning")
    page.fill("#units", "8")
    page.click("#fit")
    assert "units must be at most memory = 6" in until(lambda: page.inner_text("#alert-text"))
    page.click("#dismiss")
    assert page.locator("#alert").is_hidden()


def test_the_keyboard_plays_but_not_while_something_is_typed(page):
    page.select_option("#policy", "keyboard")
    until(lambda: page.locator("#keys-hint").is_visible() and page.locator(".bars").inner_text() == "NOOP")
    page.keyboard.down("ArrowUp")
    until(lambda: page.locator(".bars").inner_text() == "RIGHT")
    page.keyboard.up("ArrowUp")
    until(lambda: page.locator(".bars").inner_text() == "NOOP")
    page.focus("#memory")
    page.keyboard.down("ArrowUp")
    time.sleep(0.4)
    assert page.locator(".bars").inner_text() == "NOOP" and page.input_value("#memory") == "9"
    page.keyboard.up("ArrowUp")
    page.focus("#pause")
    page.keyboard.down("ArrowDown")
    until(lambda: page.locator(".bars").inner_text() == "LEFT")
    page.evaluate("dispatchEvent(new Event('blur'))")
    until(lambda: page.locator(".bars").inner_text() == "NOOP")


def test_the_last_seconds_are_saved_as_a_gif(page, tmp_path):
    until(lambda: steps(page) > 20)
    with page.expect_download() as found:
        page.click("#film")
    found.value.save_as(tmp_path / "x.gif")
    picture = Image.open(tmp_path / "x.gif")
    assert found.value.suggested_filename == "pong.gif" and picture.n_frames > 15 and picture.size[1] > 420


def test_a_video_of_one_s_own_and_what_is_none(page, tmp_path):
    np.save(tmp_path / "mine.npy", fitted(shape=(60, 90), moving=0.2)[1])
    page.set_input_files("#file", tmp_path / "mine.npy")
    until(lambda: panes(page) == ["mine.npy"])
    assert "fitted on the spot on mine.npy" in page.locator(".code").inner_text()
    (tmp_path / "letter.mp4").write_bytes(b"dear reader")
    page.set_input_files("#file", tmp_path / "letter.mp4")
    assert until(lambda: page.inner_text("#alert-text")).startswith("letter.mp4 is damaged or not a video")
    page.select_option("#game", "breakout")
    until(lambda: panes(page) == ["Breakout"])


def test_reloaded_in_the_middle_it_begins_again(page):
    until(lambda: steps(page) > 40)
    page.select_option("#disturbance", "noise")
    until(lambda: len(panes(page)) == 2)
    page.reload()
    page.wait_for_selector("body[data-pictures]")
    assert panes(page) == ["Pong"] and page.locator("#alert").is_hidden()
    until(lambda: steps(page) > 5)
    assert page.wrong == []


def test_two_windows_at_once(page, served):
    other = opened(page.context, served.address)
    other.select_option("#game", "breakout")
    until(lambda: panes(other) == ["Breakout"])
    page.select_option("#disturbance", "contrast")
    until(lambda: len(panes(page)) == 2)
    assert panes(other) == ["Breakout"]
    other.close()
    before = steps(page)
    until(lambda: steps(page) > before + 5)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_on_a_phone_nothing_is_cut_off(page, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 390, "height": 844})
    page.select_option("#disturbance", "offset")
    until(lambda: len(panes(page)) == 2)
    until(lambda: steps(page) > 60)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate(SMALL_LETTERS) == []
    shoot(page, f"phone_{scheme}")


def test_every_control_is_reached_by_the_keyboard(page):
    wanted = {"pause", "advance", "reset", "film", "game", "policy", "rate", "disturbance", "mode", "clock",
              "memory", "units", "frames", "rows", "columns", "source", "fit", "file"}  # fmt: skip
    reached = set()
    for _ in range(40):
        page.keyboard.press("Tab")
        reached.add(page.evaluate(NEXT_FOCUS))
    assert wanted <= reached, wanted - reached
    unnamed = "(e) => !e.labels?.length && !e.textContent.trim() && !e.ariaLabel"
    assert not [e for e in page.query_selector_all("button, input, select") if e.evaluate(unnamed)]


def test_a_server_that_ends_is_said_and_a_new_one_is_found(browser):
    server = Served()
    page = opened(browser.new_context(), server.address)
    server.end()
    assert "connection was lost" in until(lambda: page.inner_text("#alert-text"))
    page.context.close()


def test_without_websockets_the_page_says_so(browser, served):
    page = browser.new_context().new_page()
    page.add_init_script("delete window.WebSocket")
    page.goto(served.address)
    assert "no WebSockets" in until(lambda: page.inner_text("#alert-text"))
    page.context.close()
