"""The page from the command line, in a house of its own without any clone: a visit with --smoke, and refusals."""

import socket

import pytest

from stage_house import House, check_refusals, check_smoke


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    with House(tmp_path_factory.mktemp("house")) as house:
        yield house


def test_smoke(house):
    check_smoke(house, "watch")


def test_bad_options_end_in_one_sentence(house):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        cases = (
            ("watch", ("--game", "doom"), 1, "unknown game 'doom': choose one of pong, breakout"),
            ("watch", ("--clone", "pong_x"), 1, "there is no clone pong_x: choose one of pong_reactive"),
            ("watch", ("--clone", "pong_winning"), 1, "run python src/bc_pong.py --expert winning"),
            ("watch", ("--port", "http"), 2, "http"),
            ("watch", ("--no-open", "--port", port), 1, f"port {port} is in use: choose another one with --port"),
        )
        check_refusals(house, cases)
