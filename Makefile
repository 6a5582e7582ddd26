# `make demo` shows the whole chain, `make test` proves it, `make check` proves the fast part of it,
# `make results` writes recipes/README.md, its picture and tables from the kept summaries, `make figures`
# counts the results in README.md again from kept predictions, `make bench RAVDESS=FOLDER` measures speed and
# memory, `make load` on far more than is usual. All make .venv first.
PYTHON ?= $(shell command -v python3.11 || command -v python3)
VENV := .venv
BIN := $(VENV)/bin
CORES ?= $(shell nproc 2>/dev/null || getconf _NPROCESSORS_ONLN)
# The tests start some hundred processes; each would compile the package anew.
unexport PYTHONDONTWRITEBYTECODE

.PHONY: demo docs man dist results figures bench load fuzz soak test check lint types unit fast clean
.PHONY: lock audit sbom
.PHONY: study study-status study-keep study-pause study-resume study-stop

demo: $(VENV)/ready
	rm -rf out/demo
	PATH="$(CURDIR)/$(BIN):$$PATH" sh recipes/demo.sh data/demo/corpus out/demo

results: $(VENV)/ready
	$(BIN)/python recipes/results.py

figures: $(VENV)/ready
	$(BIN)/python recipes/figures.py

# Every script of benchmarks/ in its quick form, and the table of benchmarks/README.md from their figures.
bench: $(VENV)/ready
	$(BIN)/python benchmarks/bench.py $(RAVDESS)

# Time and memory of every stage on far more than is usual: takes hours; LOAD="--part lines" runs one part alone.
load: $(VENV)/ready
	$(BIN)/python benchmarks/load.py --json benchmarks/results/load.json $(LOAD)
	$(BIN)/python benchmarks/trust.py

# The study queue: CORPORA is the folder that holds ravdess/, emodb-339/, …; OUT keeps its runs.
# BATCHES names those to run, HOURS ends the queue, DEVICE=cuda takes the batches for a GPU first.
OUT ?= out/study
JOBS ?= 1
study: $(VENV)/ready
	$(BIN)/python recipes/study.py run $(CORPORA) $(OUT) --jobs $(JOBS) $(if $(HOURS),--hours $(HOURS)) \
		$(if $(DEVICE),--device $(DEVICE)) $(if $(BATCHES),--batches $(BATCHES))

study-status: $(VENV)/ready
	$(BIN)/python recipes/study.py status $(CORPORA) $(OUT) \
		$(if $(DEVICE),--device $(DEVICE)) $(if $(BATCHES),--batches $(BATCHES))

study-keep study-pause study-resume study-stop: $(VENV)/ready
	$(BIN)/python recipes/study.py $(@:study-%=%) $(OUT)

# The site, out/site/index.html: no network to read it, and a warning is an error.
docs: $(VENV)/docs-ready
	$(BIN)/python -m sphinx -q -W --keep-going -b html -c docs -d out/doctrees . out/site

# Manual pages and shell completion below out/share; a wheel brings them along.
man: $(VENV)/ready
	$(BIN)/python hatch_build.py out/share

# The wheel and the source distribution in dist/, as they would be uploaded.
dist: $(VENV)/dist-ready
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m twine check --strict dist/*

# Ten minutes of inputs at every door, at half a core; out/fuzz keeps what led further, so that the next run goes on.
# SEED draws others, MINUTES says how long, DOORS ("--door store --door wav") where.
MINUTES ?= 10
SEED ?= 0
fuzz: $(VENV)/ready
	PYTHONPATH=tests nice -n 10 $(BIN)/python -m fuzz --minutes $(MINUTES) --seed $(SEED) $(DOORS)
# Every stage stopped by KILL, TERM, Ctrl-C and full disks, or with broken standard streams, ROUNDS times each over nothing and over an
# older output; out/soak.jsonl
# keeps the trials, so that the next run goes on. HOURS ends it.
ROUNDS ?= 30
soak: $(VENV)/ready
	OMP_NUM_THREADS=1 nice -n 10 $(BIN)/python tests/faults/soak.py out/soak.jsonl --rounds $(ROUNDS) --jobs $(JOBS) \
		$(if $(HOURS),--hours $(HOURS))

# Every package of every extra with the SHA-256 of its files, as PyPI has them: pip install --require-hashes -r.
# LOCK="--torch-backend cpu" takes torch from pytorch.org, without CUDA.
lock: .supply/ready
	.supply/bin/uv pip compile -q pyproject.toml --all-extras -c constraints.txt --generate-hashes --universal \
		--python-version 3.11.5 --no-annotate --custom-compile-command "make lock" $(LOCK) -o requirements.lock

# Known vulnerabilities of what is locked; PyPI's database must be reachable, a mirror has none.
audit: .supply/ready
	@.supply/bin/pip-audit --strict --disable-pip --require-hashes --progress-spinner off -r requirements.lock || \
		{ echo "make audit: vulnerable, or not audited: https://pypi.org/pypi/NAME/VERSION/json does not answer" >&2; \
		exit 1; }

# What is locked as a list for other programs, out/sbom.cdx.json (CycloneDX).
sbom: .supply/ready
	mkdir -p out
	.supply/bin/cyclonedx-py requirements requirements.lock --pyproject pyproject.toml --output-reproducible \
		--no-validate -o out/sbom.cdx.json

test: lint types unit

check: lint types fast

lint: $(VENV)/ready
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .

types: $(VENV)/ready
	$(BIN)/mypy

unit: $(VENV)/ready
	$(BIN)/python -m pytest -q -n $(CORES)

fast: $(VENV)/ready
	$(BIN)/python -m pytest -q -n $(CORES) -m "not slow"

$(VENV)/ready: pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

$(VENV)/docs-ready $(VENV)/dist-ready: $(VENV)/%-ready: $(VENV)/ready
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[$*]'
	touch $@

.supply/ready: Makefile
	$(PYTHON) -m venv .supply
	.supply/bin/pip install --quiet --disable-pip-version-check uv==0.13.9 pip-audit==2.10.1 cyclonedx-bom==7.5.0
	touch $@

clean:
	rm -rf $(VENV) .supply out build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
