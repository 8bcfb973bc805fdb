.PHONY: test lint servers demo bench

# Everything that has to pass. Installs what is missing, needs root or sudo for that.
test:
	@tests/run

# The steps that need no servers.
lint:
	@tests/run format clippy doc

# The tests' PostgreSQL and Redis in the foreground, for working with `cargo test`: paste the lines that it prints.
servers:
	@tests/servers

demo:
	cargo run --release -- demo

# Measures everything beside the plain alternatives and writes load/RESULTS.md. About an hour; see load/README.md for parts of it.
bench:
	@load/bench
