# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: install demo test lint docs bench clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[dev,train,server,gym]'
	touch $@

demo: install  ## analyse the shipped samples and write a report
	$(BIN)/epiverb analyze data/traces/before.jsonl data/traces/after.jsonl --label before --label after \
		--domain countdown-3=id,countdown-4=ood --out epiverb-runs/demo --overwrite

test: install lint  ## everything that CI runs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install  ## write docs/cli.md and docs/tables.md anew from the code
	$(BIN)/python docs/generate.py

bench: install  ## against the published counter; prints ratios
	$(BIN)/python benchmarks/analyze.py
	$(BIN)/python benchmarks/losses.py

clean:
	rm -rf $(VENV) build dist *.egg-info epiverb-runs
