# Meander's commands; `make` alone lists them.
MEANDER := .build/release/meander
STATIC  := .build-static
SEED    ?=

.PHONY: help demo test test-long bench dist clean

help: ## this list
	@sed -n 's/^\([a-z-]*\):.*## /  make \1	/p' Makefile | expand -t 19

demo: prepare build ## hide a key in 1,000,000 bytes of this machine's text, read them, ask for it (SEED=7 repeats)
	@Docs/Examples/demo $(if $(SEED),--seed $(SEED)) $(MEANDER)

test: prepare ## every test, in release
	swift test -c release --disable-xctest

test-long: prepare ## the test of constant memory with 10 million tokens in place of 2 million
	MEANDER_LONG=1 swift test -c release --disable-xctest --filter MemoryTests.isConstant

bench: prepare build ## compare with llama.cpp on this machine, outputs first (Benchmarks/README.md)
	@Benchmarks/run $(MEANDER)

dist: prepare ## dist/meander-VERSION-ARCH.tar.gz: one executable that needs no Swift, models inside
	swift build -c release --product meander --static-swift-stdlib --disable-default-traits --scratch-path $(STATIC)
	@.ci/package $(STATIC)/release/meander

clean: ## remove what was built
	rm -rf .build $(STATIC) dist

.PHONY: prepare build
prepare:
	@.ci/prepare
build:
	swift build -c release --product meander
