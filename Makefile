# One command each, from a fresh clone: the environment is made on the way and remade when the requirements change.
PYTHON ?= python3
BIN := .venv/bin
RUNTIME := .venv/.runtime
DEV := .venv/.dev
# Whatever exists of these; the checks want every one of them.
TYPED := $(wildcard cfcore app/*.py app/*/*.py streamlit_app.py)

.DEFAULT_GOAL := help
.PHONY: help app test check format bench measure

help: ## this list
	@awk -F ':.*## ' '/^[a-z]+:.*## / { printf "make %-8s %s\n", $$1, $$2 }' Makefile

app: $(RUNTIME) ## open the explorer on http://localhost:8501
	$(BIN)/streamlit run streamlit_app.py

test: check ## everything: the checks, the tests, the explorer in a real browser
	OMP_NUM_THREADS=1 $(BIN)/pytest -n 3 --dist loadfile --no-loadscope-reorder

check: $(DEV) ## in seconds: lint, format, types, floors, doctests
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy $(TYPED)
	$(BIN)/pytest cfcore tests/test_floors.py

format: $(DEV) ## let ruff mend what it can
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

bench: $(RUNTIME) ## time the bitwise kernels on this machine
	$(BIN)/python -m cfcore bench conv

measure: $(DEV) ## time what a reader of the explorer waits for, in a real browser
	$(BIN)/python tests/measure_app.py

$(RUNTIME): requirements.txt
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements.txt
	touch $@

$(DEV): requirements-dev.txt $(RUNTIME)
	$(BIN)/python -m pip install --disable-pip-version-check --quiet -r requirements-dev.txt
	touch $@
