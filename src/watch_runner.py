"""A session in a thread of its own, with a clock: commands come in, pictures go out as fast as they are drawn.

The game keeps its own time. A picture is made only once the last one was acknowledged; steps in between are not shown,
so that a slow browser sees fewer pictures of the same game.
"""

from __future__ import annotations

import logging
import os
import queue
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import watch_messages as told
from watch_session import Session

LOG = logging.getLogger("watch")
FASTEST = 30.0  # pictures per second, at most
PATIENCE = 0.1  # between looks at what is made beside, while paused  [s]
BEHIND = 0.5  # a clock that is later than this begins anew  [s]
MOST_WAITING = 1000  # commands; more are refused
Send = Callable[[bytes], None]


class Runner(threading.Thread):
    """Steps a session until `stop`.

    make   the session, called in the thread     send   takes answers in bytes; it is called in the thread
    """

    def __init__(self, make: Callable[[], Session], send: Send) -> None:
        super().__init__(name="watch-session", daemon=True)
        self._make, self._send = make, send
        self._inbox: queue.Queue[told.Command | None] = queue.Queue(MOST_WAITING)
        self._ended = threading.Event()
        self._drawn, self._number, self._sent_at = True, 0, 0.0
        self._stepped: deque[float] = deque(maxlen=60)
        self.steps, self.pictures = 0, 0

    def tell(self, command: told.Command) -> None:
        """A command, to be carried out before the next step. Raises ValueError if too many are waiting."""
        if self._ended.is_set():
            raise ValueError("this window has gone: reload the page")
        try:
            self._inbox.put_nowait(command)
        except queue.Full:
            raise ValueError("too many commands at once: wait a moment") from None

    def stop(self) -> None:
        """End soon; returns at once."""
        self._ended.set()

    def run(self) -> None:
        """The thread's work: whatever goes wrong ends in a sentence, and the session goes on."""
        try:
            session = self._make()
        except Exception as error:
            self._complain(error)
            return
        try:
            self._send(told.pack(session.hello()))
            self._loop(session)
        finally:
            session.close()
            for left in self._left():
                unlink(left)

    def _left(self) -> list[told.Command | None]:
        found = []
        while not self._inbox.empty():
            found.append(self._inbox.get_nowait())
        return found

    def _loop(self, session: Session) -> None:
        due, changed = time.monotonic(), True
        while not self._ended.is_set():
            try:
                changed |= self._obey(session, PATIENCE if session.paused else due - time.monotonic())
                now = time.monotonic()
                if not session.paused and now >= due:
                    due = max(due + 1 / session.rate, now - BEHIND)
                    session.step()
                    self._stepped.append(now)
                    self.steps, changed = self.steps + 1, True
                for header, arrays in session.poll():
                    self._send(told.pack(header, arrays))
                    changed = True
                if changed and self._drawn and now - self._sent_at >= 1 / FASTEST:
                    self._show(session, now)
                    changed = False
            except Exception as error:
                session.paused, changed = True, False  # what fails would fail again
                self._complain(error)

    def _obey(self, session: Session, wait: float) -> bool:
        """What was told, waiting at most so long for it; whether something may look different now."""
        changed = False
        try:
            command = self._inbox.get(timeout=max(wait, 0.0)) if wait > 0 else self._inbox.get_nowait()
            while True:
                changed |= self._one(session, command)
                command = self._inbox.get_nowait()
        except queue.Empty:
            return changed

    def _one(self, session: Session, command: told.Command | None) -> bool:
        if isinstance(command, told.Ack):
            self._drawn = self._drawn or command.number == self._number
            return False
        try:
            assert command is not None
            session.do(command)
        except (ValueError, OSError, MemoryError) as error:
            self._complain(error)
        return not isinstance(command, told.Keys)

    def _show(self, session: Session, now: float) -> None:
        header, arrays = session.picture()
        self._number, self._drawn, self._sent_at = self._number + 1, False, now
        self.pictures += 1
        span = now - self._stepped[0] if len(self._stepped) > 1 else 0.0
        measured = 0.0 if session.paused or not span else round((len(self._stepped) - 1) / span, 1)
        self._send(told.pack({**header, "number": self._number, "measured": measured}, arrays))

    def _complain(self, error: Exception) -> None:
        text = sentence(error)
        LOG.warning("%s", text, exc_info=where(error))
        self._send(told.pack({"kind": "error", "text": text}))


def sentence(error: BaseException) -> str:
    """An error in one line."""
    first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return first if isinstance(error, (ValueError, OSError)) else f"something went wrong: {first}"


def where(error: BaseException) -> BaseException | None:
    """The error again if the log shall say where it came from: with RESU_TRACEBACK=1."""
    return error if os.environ.get("RESU_TRACEBACK") else None


def unlink(command: told.Command | None) -> None:
    """Remove the file of a command that nobody carried out."""
    path = getattr(command, "path", None)
    if isinstance(path, Path):
        path.unlink(missing_ok=True)
