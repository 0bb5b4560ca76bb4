# Two commands do all on a fresh clone: `make demo` and `make test`.
PYTHON ?= python3
BIN := .venv/bin

.PHONY: setup demo test test-next docs lint sanitize test-amx bench bench-growth lock lock-next

setup: .venv/installed

# The constraints file fixes every version, so that an install next year gives the same ones.
.venv/installed: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; assert (3, 11) <= sys.version_info < (3, 14), "Python 3.11 to 3.13 is needed: make PYTHON=python3.12 ..."'
	@echo "installing packages into .venv, which takes minutes"
	test -x $(BIN)/python || $(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -e '.[dev]' -c constraints.txt
	touch $@

demo: setup
	$(BIN)/seq2seq train translation/cldr_dates

test: setup
	$(BIN)/python -m pytest --numprocesses=auto --dist=worksteal

# The same tests with the next TensorFlow and Keras: a candidate and a nightly, which the bounds of
# pyproject.toml exclude, so that pip must not resolve anything.
NEXT := .venv-next/bin
.venv-next/installed: pyproject.toml constraints-next.txt
	$(PYTHON) -m venv .venv-next
	$(NEXT)/python -m pip install --quiet --disable-pip-version-check --no-deps -r constraints-next.txt -e .
	touch $@

test-next: .venv-next/installed
	$(NEXT)/python -m pytest --numprocesses=auto --dist=worksteal

docs: setup
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --quiet

lint: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/mypy docs/hooks/*.py
	$(BIN)/lint-imports
	$(BIN)/clang-format --dry-run --Werror seq2seq/ops/source/*.h seq2seq/ops/source/*.cc tests/ops/*.h tests/ops/*.cc benchmarks/*.cc benchmarks/faults/*.c
	$(BIN)/python .ci/clang_tidy.py

# The tests of the C++ code, and of the operations on it, with address and undefined-behaviour sanitizers.
SANITIZERS := -O1 -g1 -fsanitize=address,undefined -fno-sanitize-recover=all -fno-omit-frame-pointer
sanitize: setup
	LD_PRELOAD="$$(g++ -print-file-name=libasan.so) $$(g++ -print-file-name=libubsan.so)" \
	ASAN_OPTIONS=detect_leaks=0 UBSAN_OPTIONS=print_stacktrace=1 \
	CXX=g++ SEQ2SEQ_KERNEL_FLAGS="$(SANITIZERS)" \
	$(BIN)/python -m pytest --capture=sys tests/ops tests/layers/test_recurrent.py tests/layers/test_dense.py \
	  tests/layers/test_attention.py tests/layers/test_dropout.py \
	  tests/training/test_optimizers.py tests/benchmarks

# The operations on AMX; a processor without it needs AVX-512 BF16, and emulates AMX's instructions.
AMX = $(shell $(BIN)/python -c 'from seq2seq.ops.processor import AMX_FLAGS; print(*AMX_FLAGS)')
test-amx: setup
	g++ -O2 -shared -fPIC tests/ops/amx_emulator.cc -o .venv/amx_emulator.so
	LD_PRELOAD=$(CURDIR)/.venv/amx_emulator.so SEQ2SEQ_KERNEL_FLAGS="$(AMX)" \
	$(BIN)/python -m pytest -p no:faulthandler tests/ops tests/layers/test_recurrent.py tests/layers/test_dense.py \
	  tests/layers/test_attention.py tests/layers/test_kept_in_bfloat16.py tests/decoding

bench: setup
	$(BIN)/python -m benchmarks training

bench-growth: setup
	$(BIN)/python -m benchmarks growth

lock:
	$(PYTHON) -m venv .venv
	$(BIN)/python -m pip install --quiet --upgrade -e '.[dev,spark]'
	$(BIN)/python -m pip freeze --exclude-editable > constraints.txt

lock-next:
	rm -rf .venv-next
	$(PYTHON) -m venv .venv-next
	$(NEXT)/python -m pip install --quiet --no-deps -r constraints.txt
	$(NEXT)/python -m pip install --quiet --upgrade --pre tensorflow
	$(NEXT)/python -m pip uninstall --quiet --yes keras
	$(NEXT)/python -m pip install --quiet --pre keras-nightly
	$(NEXT)/python -m pip freeze > constraints-next.txt
