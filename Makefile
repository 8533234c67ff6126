# `make` alone explains the targets. ARGS passes options on: make lab ARGS=--no-browser
PYTHON ?= python3
ARGS ?=
FOLDER ?=
# Tests at a time. They wait for a good part of their time: one more than two cores keeps both busy.
WORKERS ?= 3
BIN := .venv/bin
# A shell that forbids bytecode makes every start slow for ever.
unexport PYTHONDONTWRITEBYTECODE
unexport PYTHONPATH

.DEFAULT_GOAL := help
.PHONY: help setup lab test book notebooks check watch grade prove bench up down clean lint lock

help: ## this list
	@echo "Windtunnel: learn Apache Airflow by running it."
	@echo
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)
	@echo
	@echo "Each sets up what it needs. Options go through ARGS, for example: make lab ARGS=--no-browser"

setup:
	@$(PYTHON) sandbox/bootstrap.py

lab: setup ## set up everything and open JupyterLab on a live Airflow
	@$(BIN)/windtunnel lab $(ARGS)

test: setup ## set up everything and run all tests, the executed chapters included
	@echo "1/3 lint and types"
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy
	@echo "2/3 tests, on real Airflows"
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --durations=40 --durations-min=10 $(ARGS)
	@echo "3/3 every chapter again, every output compared"
	@$(BIN)/pytest -n $(WORKERS) --dist loadfile --nbval --nbval-current-env -p windtunnel.nbval_sandbox \
		notebooks solutions/*/reference.ipynb

book: setup ## build the site from the committed outputs, into _build/html (no Airflow, no network)
	@$(BIN)/jupyter-book build . --all -W -n --keep-going -q $(ARGS)
	@echo "The site is in _build/html. To look at it: $(BIN)/python -m http.server --bind 127.0.0.1 --directory _build/html 8000"

notebooks: setup ## execute chapters on fresh sandboxes: book/*.md -> notebooks/*.ipynb
	@$(BIN)/windtunnel notebooks $(ARGS)

check: setup ## check your exercises, or one: make check ARGS=03
	@$(BIN)/windtunnel check $(ARGS)

watch: setup ## check an exercise on every save, hints a key away: make watch ARGS=03
	@$(BIN)/windtunnel watch $(ARGS)

grade: setup ## grade what a class handed in: make grade FOLDER=handed-in ARGS="--exercise 03"
	@test -n "$(FOLDER)" || { echo "Say which folder: make grade FOLDER=handed-in" >&2; exit 2; }
	@$(BIN)/windtunnel grade "$(FOLDER)" $(ARGS)

prove: setup ## prove that the checks tell right from wrong, on all known answers: make prove ARGS=01
	@$(BIN)/windtunnel prove $(ARGS)

bench: setup ## measure Windtunnel beside what people use today: make bench ARGS=--quick
	@$(BIN)/windtunnel bench $(ARGS)

up: ## start the containers: Airflow with JupyterLab, by Docker Compose (ARGS=--celery)
	@$(PYTHON) sandbox/containers.py up $(ARGS)

down: ## stop them; data are kept (ARGS=--volumes deletes them, and asks first)
	@$(PYTHON) sandbox/containers.py down $(ARGS)

lint: setup ## ruff and mypy, as the tests run them
	@$(BIN)/ruff check . && $(BIN)/ruff format --check . && $(BIN)/mypy

lock: setup ## resolve the dependencies of pyproject.toml anew
	@$(BIN)/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
		--no-header --extra dev pyproject.toml --output-file requirements.lock $(ARGS)

clean: ## remove the environment and what was built; your work/ and the sandbox's state stay
	rm -rf .venv _build .pytest_cache .mypy_cache .ruff_cache
