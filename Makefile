# Set-up, demo, tests and checks. VENV names the virtual environment, PYTHON the interpreter for it.
PYTHON ?= python3
VENV ?= .venv
# Processes that share the test files; JOBS=0 runs them in one, for a debugger.
JOBS ?= 2
BIN := $(VENV)/bin
STAMP := $(VENV)/.installed

# Clients that must read what is published: the last of each minor version of DuckDB.
DUCKDB_CLIENTS := 1.2.2 1.3.2 1.4.4 1.5.5
CLIENTS := $(VENV)/duckdb-clients

.PHONY: demo up test lint scan format types validate docs wheel models clients clean

$(STAMP): pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[dev]'
	touch $@

models: $(STAMP)
	$(BIN)/deepcompress models pull

# ONCE=1 stops everything when the samples are through.
demo: models
	$(BIN)/python samples/demo.py $(if $(ONCE),--once)

up: models
	$(BIN)/deepcompress up

# The tests compare the models of the catalog that come from packages, also those not in use.
test: models clients
	$(BIN)/deepcompress models pull picodet-cdla slanet-en ppocrv6-small
	DEEPCOMPRESS_DUCKDB_CLIENTS=$(abspath $(CLIENTS)) $(BIN)/python -m pytest -n $(JOBS) --dist loadfile $(PYTEST_ARGS)

clients: $(DUCKDB_CLIENTS:%=$(CLIENTS)/%)

# The one version that DuckLake's extension comes packaged for.
$(CLIENTS)/1.5.5: EXTENSIONS := duckdb-extension-ducklake==1.5.5

$(CLIENTS)/%: | $(STAMP)
	$(BIN)/python -m pip install --quiet --no-deps --target $@ duckdb==$* $(EXTENSIONS)

lint: $(STAMP)
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/hadolint examples/deploy/Dockerfile
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.compose-spec examples/deploy/compose.yaml
	$(BIN)/check-jsonschema --quiet --builtin-schema vendor.github-workflows .github/workflows/*.yml

# Looks for secrets in the tree; checksums of weights are no secrets.
scan: $(STAMP)
	git ls-files -z | xargs -0 $(BIN)/detect-secrets-hook --no-verify --disable-plugin HexHighEntropyString

format: $(STAMP)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

types: $(STAMP)
	$(BIN)/mypy

validate: $(STAMP)
	DAGSTER_DISABLE_TELEMETRY=yes $(BIN)/dg check defs

# The documentation site, in site/. Its tools are installed when they are first needed.
docs: $(STAMP)
	$(BIN)/python -m pip install --quiet -c constraints.txt -e '.[docs]'
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict --quiet

# The package as its users get it: built, installed and run outside of the checkout.
wheel: models
	VENV=$(VENV) PYTHON=$(PYTHON) .ci/wheel

clean:
	rm -rf $(VENV) site demo .mypy_cache .pytest_cache .ruff_cache .hypothesis
