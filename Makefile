# Everything here sets itself up: it needs only Python >= 3.11, git and make.

PYTHON ?= python3
VENV   := .venv
RUN    := $(VENV)/bin/python

STAGES ?=
FRESH  ?=

.PHONY: help demo watch test test-browser smoke reproduce report fly scale clean

help:
	@echo "To begin with"
	@echo "  make demo      learn to play Pong in closed form: collect, fit, train, play; draws media/demo_pong.gif"
	@echo "  make watch [GAME=breakout]   a page on this machine: a game, the maps of the code that plays, disturbances"
	@echo "  make test      ruff, mypy and the test suite"
	@echo "  make test-browser   the page in a real browser; installs Chromium (Debian, as root) and Playwright first"
	@echo "The record"
	@echo "  make report    rebuild every page and figure from results/"
	@echo "  make smoke     every stage on a few frames, in minutes; proves nothing but that all of them run"
	@echo "  make reproduce [STAGES=\"2 4a\"] [FRESH=1]   every stage in full, resuming; FRESH=1: from nothing"
	@echo "  make fly       stages 17 and 18 from nothing: the fly's lamina and its sense of motion, in minutes"
	@echo "Larger"
	@echo "  make scale     a Dask scheduler with 1, 2 and 4 workers on this machine; some of them are killed"
	@echo "Away with it"
	@echo "  make clean     remove the virtual environment and caches (data/ and results/ stay)"

$(VENV)/ready: requirements.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
		{ echo "Python 3.11 or newer is needed: make PYTHON=/path/to/python3.11 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)
	$(RUN) -m pip install --quiet --disable-pip-version-check --requirement requirements.txt
	@touch $@

demo: $(VENV)/ready
	$(RUN) src/demo_pong.py

test: $(VENV)/ready
	$(RUN) -m ruff check src tests
	$(RUN) -m ruff format --check src tests
	$(RUN) -m mypy
	$(RUN) -m pytest -n 2 --dist loadfile -rs

watch: $(VENV)/ready
	$(RUN) src/watch.py $(if $(GAME),--game $(GAME))

test-browser: $(VENV)/ready
	@command -v chromium chromium-browser google-chrome >/dev/null || { apt-get update -qq && apt-get install -y -qq chromium; }
	$(RUN) -m pip install --quiet --disable-pip-version-check playwright==1.65.2
	$(RUN) -m pytest tests/test_watch_browser.py

smoke: $(VENV)/ready
	$(RUN) src/reproduce.py --smoke $(if $(STAGES),--stages $(STAGES))

reproduce: $(VENV)/ready
	$(RUN) src/reproduce.py $(if $(STAGES),--stages $(STAGES)) $(if $(FRESH),--fresh)

report: $(VENV)/ready
	$(RUN) src/report_results.py

fly: $(VENV)/ready
	rm -rf results/cells/lamina results/cells/lamina_processes results/cells/motion results/cells/scenes
	$(RUN) src/reproduce.py --stages 17 18

scale: $(VENV)/ready
	$(RUN) src/bench_cluster.py

clean:
	rm -rf $(VENV) .pytest_cache .ruff_cache .mypy_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +
