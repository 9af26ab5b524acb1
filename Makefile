# `make demo` shows the product at work, `make test` tests it. Both first make a virtual environment from the lock.
# Settings: PYTHON=python3.12 (the interpreter, 3.10 or newer), VENV=.venv (where the environment is),
# KEEP=1 (the demo goes on serving), ARGS="…" (more arguments for pytest or the demo).

PYTHON ?= python3
VENV ?= .venv
JOBS ?= 2
RUN = $(VENV)/bin

# The tests start hundreds of Python programs: each would compile again what the one before it compiled.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: help venv demo test test-slow stack stack-check matrix bench bench-quick lint format docs lock wheels clean

help:
	@echo 'make demo     real logins through an authorization server and a client, and what the telemetry shows of them'
	@echo '              (KEEP=1 keeps both serving)'
	@echo 'make test     the fast tests; test-slow: the others'
	@echo 'make stack    Collector, Loki, Prometheus and Zipkin on this machine, with the demo in them (built once, some minutes)'
	@echo '              (stack-check: the tests of the pipeline)'
	@echo 'make matrix   the tests of the plugins with every Authlib series on every Python found (ARGS=--corners: less)'
	@echo 'make bench    the benchmarks, into build/bench; bench-quick: the essential ratios against their budgets'
	@echo 'make lint     ruff, mypy, import-linter; format: let ruff rewrite'
	@echo 'make docs     rewrite the generated pages of docs/'
	@echo 'make lock     resolve requirements/dev.in into requirements/dev.lock'
	@echo 'make wheels   build the distributions into build/dist'
	@echo 'make venv     the virtual environment alone; clean: remove it, build/ and the caches'

venv:
	@command -v "$(PYTHON)" >/dev/null || \
	  { echo 'There is no "$(PYTHON)" here. Python 3.10 or newer is needed: make PYTHON=/path/to/python3' >&2; exit 1; }
	@"$(PYTHON)" -c 'import sys; sys.exit(sys.version_info < (3, 10))' || \
	  { echo 'Python 3.10 or newer is needed, "$(PYTHON)" is older (or does not start): make PYTHON=python3.12' >&2; exit 1; }
	@"$(PYTHON)" tools/make_venv.py "$(VENV)"

demo: venv
	@PYTHONPATH=examples "$(RUN)/python" -m demo $(if $(KEEP),--keep) $(ARGS)

test: venv
	"$(RUN)/python" -m pytest -n $(JOBS) -m 'not slow and not stack' $(ARGS)

test-slow: venv
	"$(RUN)/python" -m pytest -n $(JOBS) -m 'slow and not stack' $(ARGS)

stack: venv
	@PYTHONPATH=examples:tools "$(RUN)/python" -m stack $(ARGS)

stack-check: venv
	@PYTHONPATH=examples:tools "$(RUN)/python" -m stack --build-only
	"$(RUN)/python" -m pytest -m stack $(ARGS)

matrix: venv
	@"$(RUN)/python" tools/matrix.py --jobs $(JOBS) $(ARGS)

bench: venv
	@"$(RUN)/python" -m benchmarks $(ARGS)

bench-quick: venv
	@"$(RUN)/python" -m benchmarks --quick $(ARGS)

lint: venv
	"$(RUN)/ruff" check .
	"$(RUN)/ruff" format --check .
	"$(RUN)/mypy"
	"$(RUN)/lint-imports"

format: venv
	"$(RUN)/ruff" check --fix .
	"$(RUN)/ruff" format .

docs: venv
	"$(RUN)/python" tools/make_docs.py

lock: venv
	"$(RUN)/python" tools/make_lock.py $(ARGS)

wheels: venv
	"$(RUN)/python" tools/make_wheels.py build/dist

clean:
	rm -rf "$(VENV)" build .pytest_cache .mypy_cache .ruff_cache .import_linter_cache .hypothesis
	find . -name __pycache__ -type d -prune -exec rm -rf {} +
