# Everything runs in .venv, which the first target makes: a Python 3.11 or newer with its venv module is all it needs.

VENV ?= .venv
PYTHON := $(VENV)/bin/python
STAMP := $(VENV)/.installed
# Besides, the implementations in Python that ours is compared with.
PEERS := $(VENV)/.peers
PYTEST := $(PYTHON) -m pytest -q
COMPILED := build/compiled
# What the compiled core must pass: everything that needs neither root nor other programs.
COMPILED_TESTS := tests/unit tests/machines tests/sim tests/aio
FUZZ_SECONDS ?= 600
CODE := src tests examples benchmarks fuzz tools

.PHONY: help demo test test-laws coverage check format test-net test-interop test-compiled fuzz bench bench-connect docs clean

help:
	@echo "make demo           two agents connect, behind simulated NATs and over real sockets"
	@echo "make test           all tests that need neither root nor other programs"
	@echo "make test-laws      2,000 random schedules of every machine against the laws: three minutes"
	@echo "make coverage       each module of ranks 0 to 5 run whole by its own test file alone"
	@echo "make check          format, lint, types, fast tests: under a minute, before each commit"
	@echo "make test-net       tests over kernel NATs in network namespaces (root)"
	@echo "make test-interop   tests against other implementations (tools/install-test-peers.sh)"
	@echo "make test-compiled  the tests once more, with the core compiled by mypyc"
	@echo "make fuzz           every fuzz target for FUZZ_SECONDS (600)"
	@echo "make bench          all benchmarks;  make bench-connect: time to connect alone (root)"
	@echo "make docs           docs/conformance.md from the tests' markers, the picture in the README"

$(STAMP): pyproject.toml tools/make-venv.sh
	@tools/make-venv.sh $(VENV)
	@touch $@

$(PEERS): $(STAMP)
	@tools/make-venv.sh $(VENV) dev,interop
	@touch $@

demo: $(STAMP)
	@$(PYTHON) examples/demo.py

test: $(STAMP)
	@$(PYTEST)

# Both markers override pyproject's default, which leaves the slow part out.
test-laws: $(STAMP)
	@$(PYTEST) -m "slow or not slow" -k "laws_hold or bounded" tests/machines/test_laws.py --durations=0

coverage: $(STAMP)
	@$(PYTHON) tools/own_coverage.py

check: $(STAMP)
	@$(PYTHON) -m ruff format --check --quiet $(CODE)
	@$(PYTHON) -m ruff check --quiet $(CODE)
	@$(PYTHON) -m pyright & pyright=$$!; $(PYTHON) -m mypy && \
	    $(PYTEST) tests --ignore=tests/aio --ignore=tests/property --ignore=tests/interop && wait $$pyright

format: $(STAMP)
	@$(PYTHON) -m ruff format $(CODE)
	@$(PYTHON) -m ruff check --fix $(CODE)

# Both markers at once override pyproject's default, which leaves these suites out.
test-net: $(PEERS)
	@test "$$(id -u)" = 0 || { echo "make test-net: network namespaces need root"; exit 1; }
	@$(PYTEST) -m "net and not interop and not slow" tests/interop -rs

test-interop: $(PEERS)
	@$(PYTEST) -m "interop and not slow" tests/interop -rs

test-compiled: $(STAMP)
	@$(PYTHON) tools/compile_core.py $(COMPILED)
	@PYTHONPATH=$(COMPILED) $(PYTEST) -o pythonpath="$(COMPILED) tests" $(wildcard $(COMPILED_TESTS))

fuzz: $(STAMP)
	@for target in fuzz/target_*.py; do \
	    name=$${target#fuzz/target_}; name=$${name%.py}; \
	    mkdir -p build/fuzz/$$name; \
	    echo "fuzzing $$name for $(FUZZ_SECONDS) s"; \
	    PYTHONPATH=tests $(PYTHON) $$target build/fuzz/$$name fuzz/corpus/$$name -max_total_time=$(FUZZ_SECONDS) \
	        -artifact_prefix=build/fuzz/$$name/ -verbosity=0 || exit 1; \
	done

bench: $(PEERS)
	@for benchmark in benchmarks/*.py; do echo "== $$benchmark"; $(PYTHON) $$benchmark || exit 1; done

bench-connect: $(PEERS)
	@$(PYTHON) benchmarks/connect.py

docs: $(STAMP)
	@$(PYTHON) tools/conformance.py
	@$(PYTHON) tools/readme_picture.py

clean:
	@rm -rf build .mypy_cache .pytest_cache .ruff_cache .hypothesis
