# What the bench scripts share: the programs, throwaway servers and where reports go. Sourced, in strict mode, with the repository as the
# working directory; whoever sources it calls bench_prepare and leaves the rest to the trap.
#
#   bench_prepare           finds or builds the programs; starts Postgres and Redis; makes the directory for reports
#   bench_serve NAME VAR=…  starts a Scoreboard with these settings; leaves its address in bench_url and its pid in bench_pid
#   bench_reference WORD…   starts a reference server of `load`; likewise
#   bench_end PID           ends a server
#   bench NAME ARGUMENT…    runs `load` and keeps its report as NAME.json
#
# BENCH_SERVER, BENCH_LOAD: the programs, where they are not to be built.

source tests/servers.sh

# For the references as well, and with fsync, which the tests do without. The default of 128 MB does not hold a million entries with their indexes, and nobody who has a million leaves it.
servers_postgres_settings=(-c shared_buffers=1GB -c max_wal_size=4GB)

bench_pids=()

bench_prepare() {
    BENCH_LOAD=${BENCH_LOAD:-${CARGO_TARGET_DIR:-target}/release/load}
    BENCH_SERVER=${BENCH_SERVER:-${CARGO_TARGET_DIR:-target}/release/scoreboard}
    command -v cargo >/dev/null || PATH=$HOME/.cargo/bin:$PATH
    [[ -n ${BENCH_BUILT:-} ]] || cargo build --release --workspace --bins
    servers_install
    trap bench_finish EXIT
    trap 'exit 130' INT
    trap 'exit 143' TERM
    servers_start
    bench_reports=${BENCH_REPORTS:-$(mktemp -d "${TMPDIR:-/tmp}/scoreboard-bench.XXXXXX")}
    mkdir -p "$bench_reports" target
    # Not in /tmp, which may be memory: durability has to cost what it costs.
    bench_data=$(mktemp -d "$PWD/target/bench.XXXXXX")
    # PostgreSQL runs as somebody else, who has to get through.
    chmod 755 "$bench_data"
    bench_postgres=$(head -n 1 "$servers_dir/postgres/postmaster.pid")
    bench_redis=$(redis-cli -u "$TEST_REDIS_URL" info server | tr -d '\r' | sed -n 's/^process_id://p')
    export PGBENCH=$TEST_POSTGRES_BIN/pgbench
    export JWT_SECRET=a-secret-for-throwaway-servers-only
    SCOREBOARD_TOKEN=$("$BENCH_SERVER" token --sub load --scope "scores:write leaderboards:admin moderation:write" --ttl 12h)
    export SCOREBOARD_TOKEN
    echo "# $(uname -sr), $(nproc) cores, $(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo | head -n 1), $(awk '/MemTotal/ {printf "%d GiB", $2 / 1048576}' /proc/meminfo)"
    echo "# $("$TEST_POSTGRES_BIN/postgres" --version), $("$TEST_REDIS_SERVER" --version | cut -d ' ' -f 1-3), scoreboard $(git rev-parse --short HEAD)"
    echo "# reports in $bench_reports"
}

bench_serve() {
    local name=$1 attempt deadline
    shift
    for attempt in {1..10}; do
        local port=$((20000 + RANDOM % 12000))
        mkdir -p "$bench_data/$name"
        env RATE_LIMIT_PER_SECOND=1000000 RATE_LIMIT_BURST=1000000 RUST_LOG=warn LISTEN_ADDR="127.0.0.1:$port" \
            DATA_DIR="$bench_data/$name" "$@" "$BENCH_SERVER" serve </dev/null >"$bench_data/$name.log" 2>&1 &
        bench_pid=$!
        bench_url=http://127.0.0.1:$port
        deadline=$((SECONDS + 60))
        while kill -0 "$bench_pid" 2>/dev/null && ((SECONDS < deadline)); do
            if curl -fs -o "$bench_data/ready" "$bench_url/readyz" && kill -0 "$bench_pid" 2>/dev/null; then
                bench_pids+=("$bench_pid")
                return
            fi
            sleep 0.1
        done
        kill -KILL "$bench_pid" 2>/dev/null || true
        wait "$bench_pid" 2>/dev/null || true
    done
    echo "the server did not start; it said:" >&2
    cat "$bench_data/$name.log" >&2
    return 1
}

# A listener without a store, of `load` itself; leaves its address in bench_url and its pid in bench_pid.
bench_reference() {
    local port attempt
    for attempt in {1..10}; do
        port=$((20000 + RANDOM % 12000))
        "$BENCH_LOAD" "$@" --listen "127.0.0.1:$port" </dev/null >"$bench_data/reference.log" 2>&1 &
        bench_pid=$!
        bench_url=http://127.0.0.1:$port
        sleep 0.3
        if curl -fs -o "$bench_data/ready" "$bench_url/" && kill -0 "$bench_pid" 2>/dev/null; then
            bench_pids+=("$bench_pid")
            return
        fi
        wait "$bench_pid" 2>/dev/null || true
    done
    cat "$bench_data/reference.log" >&2
    return 1
}

# Ends the server with this pid.
bench_end() {
    local pid others=()
    kill -TERM "$1" 2>/dev/null || true
    wait "$1" 2>/dev/null || true
    for pid in "${bench_pids[@]}"; do [[ $pid == "$1" ]] || others+=("$pid"); done
    bench_pids=("${others[@]}")
}

bench() {
    local name=$1
    shift
    echo
    echo "## $name: load $*"
    "$BENCH_LOAD" "$@" --json "$bench_reports/$name.json"
}

# Prints a figure of a report: its name at the top level of the JSON.
bench_figure() {
    sed -n "s/^  \"$2\": \([0-9.]*\),\{0,1\}$/\1/p" "$bench_reports/$1.json"
}

bench_finish() {
    local pid
    for pid in "${bench_pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
    for pid in "${bench_pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    [[ -z ${bench_data:-} ]] || rm -rf "$bench_data"
    servers_stop
}
