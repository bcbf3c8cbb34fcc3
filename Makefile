# `make demo`, `make test` and `make check` do all set-up by themselves: Python, make and git suffice.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed
DEMO := demo
READERS ?= delta header recipe published packs facts sentences names
SECONDS ?= 60
COUNTS ?= 10,100
PARTS ?= bert bert-wide demo growth gemma solve updates memory files
PEERS := .bench/peers
BENCH = --only $(PARTS) --peers $(PEERS)/bin/python --folder .bench

.PHONY: demo test torture load fuzz capability check fix docs bench bench-check bench-editing results corrections clean

$(STAMP): pyproject.toml constraints.txt
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt torch
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[demo,dev]'
	touch $@

demo: $(STAMP)
	$(BIN)/python scripts/demo.py $(DEMO)

# The ledger is tested on PostgreSQL too: Debian's package, where this user may install it.
$(VENV)/.postgres: $(STAMP)
	@if ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || command -v initdb >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq postgresql; } \
	    >$(VENV)/postgres.log 2>&1 || echo "PostgreSQL was not installed, see $(VENV)/postgres.log"; \
	else echo "without PostgreSQL its tests are skipped: sudo apt-get install postgresql"; fi
	@touch $@

# Pages are tested in a browser, where there is one or this user may install it.
$(VENV)/.browser: $(STAMP)
	@if command -v chromium >/dev/null; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null; then \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq chromium; } \
	    >$(VENV)/browser.log 2>&1 || echo "Chromium was not installed, see $(VENV)/browser.log"; \
	else echo "without Chromium the tests in a browser are skipped: sudo apt-get install chromium"; fi
	@touch $@

test: $(STAMP) $(VENV)/.postgres $(VENV)/.browser
	$(BIN)/python -m pytest -n 2 --dist loadfile --no-loadscope-reorder --durations=15

# Every crash, fault and race that the short forms in `make test` take samples of; needs a C compiler.
torture: $(STAMP) $(VENV)/.postgres
	KN_EDIT_TORTURE=1 $(BIN)/python -m pytest -n 2 --dist worksteal --timeout 14400 \
	  tests/test_torture.py tests/test_processes.py tests/test_verify_mutations.py \
	  tests/test_recording.py tests/test_hub_many.py tests/test_job_kills.py \
	  tests/test_ledger_upgrade.py tests/test_cli_signals.py \
	  tests/test_gc_races.py tests/test_postgres_kills.py tests/test_service_schema.py \
	  tests/test_load.py tests/test_correction_benchmark.py tests/test_joint.py tests/test_one_recipe.py tests/test_ray.py tests/test_objects.py \
	  tests/test_objects_workspace.py tests/test_hostile_*.py tests/test_hub_faults.py \
	  tests/test_hub_bounds.py tests/test_placement.py tests/test_packaging.py \
	  tests/test_end_to_end.py tests/test_hub_secrets.py tests/test_hub_records.py \
	  tests/test_experiments.py tests/test_adapter.py \
	  tests/test_editing_benchmark.py

# A service that 32 readers and 8 writers ask for SECONDS; what comes of it is printed.
load: $(STAMP)
	PYTHONPATH=.:tests $(BIN)/python tests/torture/load.py --seconds $(SECONDS)

# Each reader of what strangers write, for SECONDS; atheris is installed for it.
fuzz: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[fuzz]'
	set -e; for reader in $(READERS); do \
	  PYTHONPATH=.:tests $(BIN)/python tests/fuzz/fuzz.py $$reader $(SECONDS); done

# Tasks of lm-eval on a version; it brings forty packages, which are installed for it.
capability: $(STAMP)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[lm-eval]'
	$(BIN)/python -m pytest tests/test_capability.py

check: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/python scripts/docs_tables.py --check

fix: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: $(STAMP)
	$(BIN)/python -m kn_edit.cli.reference > docs/cli.md
	$(BIN)/python scripts/docs_tables.py
	$(BIN)/python scripts/readme.py
	$(BIN)/python scripts/branches.py
	$(BIN)/python scripts/service.py

# Every figure of docs/performance.md beside its reference in the same run; hours. PARTS: some of
# bert bert-wide demo growth gemma solve updates memory files. `make bench-check` fails where one has become worse.
bench: $(STAMP) $(PEERS)/.installed
	$(BIN)/python benchmarks/bench.py $(BENCH) --json docs/performance.json --write docs/performance.md
	$(BIN)/python benchmarks/ledger.py --folder .bench --write docs/performance.md

bench-check: $(STAMP) $(PEERS)/.installed
	$(BIN)/python benchmarks/bench.py $(BENCH) --check docs/performance.json

# Packages that are compared with. They see torch and transformers of .venv, and add nothing to it.
$(PEERS)/.installed: $(STAMP)
	$(BIN)/python -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check --no-deps \
	  captum==0.9.0 knowledge-neurons==0.0.2 einops==0.8.2
	$(BIN)/python -c "import sysconfig; print(sysconfig.get_path('purelib'))" \
	  > $$($(PEERS)/bin/python -c "import sysconfig; print(sysconfig.get_path('purelib'))")/project.pth
	touch $@

# The tables of docs/results.md: errors of integration rules, and updates of capital facts.
results: $(STAMP)
	$(BIN)/python benchmarks/attribution.py --cache .bench
	$(BIN)/python benchmarks/update.py

# Mass editing beside other editors; goes on where it was stopped. DATA: a folder of counterfact.jsonl,
# zsre.jsonl, wikibigedit.jsonl, qaedit.jsonl (docs/editing.md). COUNTS=10,100,1000 takes a day.
bench-editing: $(STAMP)
	$(BIN)/python -m benchmarks.editing $(if $(DATA),--data $(DATA),--datasets bundled) \
	  --counts $(COUNTS) --results docs/measured/editing/results.jsonl
	$(BIN)/python -m benchmarks.editing.report --write docs/editing.md

# Hours; goes on where it was stopped. FILES: WikiBigEdit or QAEdit as published, beside own facts.
corrections: $(STAMP)
	$(BIN)/python benchmarks/corrections.py benchmarks/own_facts.jsonl $(FILES)

clean:
	rm -rf $(VENV) $(DEMO) .bench
