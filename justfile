# The recipes of the specification; the work is done by `cargo xtask`, which needs no just.

# Build the project
build:
    cargo xtask build

# Run all tests
test:
    cargo xtask test

# Run all tests and show what they print
test-v:
    cargo xtask test --verbose

# Run the tests with NAME in their path
test-one NAME:
    cargo xtask test "{{ NAME }}"

# Run the end-to-end tests over NATS
test-integration:
    cargo xtask test-nats --package a3s-event-tests

# Run the tests of the memory provider
test-memory:
    cargo xtask test --package a3s-event-memory

# Run all tests that need a nats-server
test-nats:
    cargo xtask test-nats

# Run the tests of the event types
test-types:
    cargo xtask test --package a3s-event-core

# Run the tests of the bus
test-store:
    cargo xtask test --package a3s-event-bus

# Run the benchmarks
bench:
    cargo xtask bench

# Run one benchmark
bench-one NAME:
    cargo xtask bench "{{ NAME }}"

# Run the tests and report the coverage of each file
test-cov:
    cargo xtask cov --table

# Measure the coverage and print the totals
cov:
    cargo xtask cov

# Measure the coverage and open it in a browser
cov-html:
    cargo xtask cov --html --open

# Measure the coverage and print a table of files
cov-table:
    cargo xtask cov --table

# Measure the coverage and write lcov.info
cov-ci:
    cargo xtask cov --lcov

# Run clippy, and check the facade with each feature
lint:
    cargo xtask lint

# Format the code
fmt:
    cargo xtask fmt

# Check everything that a change must pass
ci:
    cargo xtask ci

# Build the documentation and open it
doc:
    cargo xtask doc --open
