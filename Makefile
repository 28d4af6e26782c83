# `make demo` and `make test` need nothing but Python 3.11 and make: they set up their own virtual environment.
# `make CONSTRAINTS=constraints.txt …` installs exactly the versions that were last tested.
PYTHON ?= python3
VENV ?= .venv
CONSTRAINTS ?=
BIN := $(VENV)/bin
READY := $(VENV)/.ready$(if $(CONSTRAINTS),-$(notdir $(CONSTRAINTS)))
FLOOR := 80

LOWEST := build/lowest-venv
LOWEST_EXTRAS := cpu export rtx
LOWEST_TESTS := tests/bundle tests/families tests/media tests/ops tests/parity tests/tasks

CXX_SOURCES := $(shell find cpp plugins -name '*.cpp' -o -name '*.hpp' -o -name '*.h' -o -name '*.cu' -o -name '*.cuh')
CLANG_FORMAT = $(wildcard $(BIN)/clang-format)
CLANG_TIDY ?= clang-tidy

.PHONY: demo test coverage docs fuzz soak lint lint-cxx tidy format bench constraints lower-bounds clean

demo: $(READY)
	$(BIN)/vpp-deploy demo -o demo-output

# As many tests at once as there are cores, a file's tests together: they share what is slow to make. In the order of
# tests/conftest.py, which begins with the longest files; pytest-xdist would begin with those of the most tests.
WORKERS ?= auto
AT_ONCE := -n $(WORKERS) --maxprocesses 4 --dist loadscope --no-loadscope-reorder

test: lint
	$(BIN)/python -m pytest $(AT_ONCE)

# What of the package the tests run, in their own process. One after the other: slipcover loses what workers saw.
# Without training, whose loops take many times as long under a tracer.
coverage: $(READY)
	$(BIN)/python -m slipcover --source vpp_deploy --skip-covered --fail-under $(FLOOR) \
		-m pytest --ignore=tests/examples

# The documentation as a site, in build/site; without a network.
docs: $(READY)
	NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict

# Hostile input for hours: each of some twenty groups gets so many seconds (2 in `make test`).
FUZZ_SECONDS ?= 600
FUZZ_SEED ?= $(shell date +%s)
fuzz: $(READY)
	FUZZ_SECONDS=$(FUZZ_SECONDS) FUZZ_SEED=$(FUZZ_SEED) $(BIN)/python -m pytest tests/fuzz

SOAK_FRAMES ?= 100000
soak: $(READY)
	SOAK_FRAMES=$(SOAK_FRAMES) $(BIN)/python -m pytest -s -m "slow or not slow" tests/soak

lint: $(READY) lint-cxx
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

lint-cxx: $(READY)
	@$(if $(CLANG_FORMAT),$(CLANG_FORMAT) --dry-run -Werror $(CXX_SOURCES),echo "clang-format is not installed: C++ sources are not checked")

# What .clang-tidy asks, of the C++ runtime. Needs clang-tidy, CMake and nlohmann-json.
tidy:
	cmake -S cpp -B build/tidy -DCMAKE_EXPORT_COMPILE_COMMANDS=ON
	$(CLANG_TIDY) --quiet --warnings-as-errors='*' --extra-arg=-std=c++17 -p build/tidy $(wildcard cpp/src/*.cpp)

format: $(READY)
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .
	@$(if $(CLANG_FORMAT),$(CLANG_FORMAT) -i $(CXX_SOURCES))

bench: $(READY)
	$(BIN)/python -m benchmarks.step

# Writes down the versions that are installed: run it when the tests have passed with them.
constraints: $(READY)
	echo "# The versions that were last tested: make CONSTRAINTS=constraints.txt … installs exactly these." > constraints.txt
	$(BIN)/python -m pip freeze --all --exclude pip --exclude-editable >> constraints.txt

# The lowest versions that pyproject.toml promises, in a virtual environment of their own.
lower-bounds: $(LOWEST)/.ready
	$(LOWEST)/bin/python -m pytest $(LOWEST_TESTS)

$(LOWEST)/.ready: pyproject.toml tools/lower_bounds.py
	$(PYTHON) -m venv $(LOWEST)
	$(LOWEST)/bin/python -m pip install --quiet packaging
	$(LOWEST)/bin/python tools/lower_bounds.py $(LOWEST_EXTRAS) > $(LOWEST)/bounds.txt
	$(LOWEST)/bin/python -m pip install --quiet --constraint $(LOWEST)/bounds.txt --editable '.[cpu,export,rtx]' hypothesis pytest
	touch $@

clean:
	rm -rf $(VENV) build dist *.egg-info demo-output bench-output

$(READY): pyproject.toml $(CONSTRAINTS)
	@echo "Setting up $(VENV), once: 7.5 GB, most of it PyTorch with CUDA; pip shows what it downloads."
	$(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --disable-pip-version-check $(CONSTRAINTS:%=--constraint %) --editable '.[cpu,export,rtx,dev]'
	touch $@
