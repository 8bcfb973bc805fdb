# A throwaway scoreboard on throwaway stores, for scripts that ask the running server. Sourced after servers.sh, in strict mode.
#
#   scoreboard_build                        leaves in SCOREBOARD the program to test: the debug build, unless the caller named one
#   scoreboard_on_each_backend N CHECK ARG… calls CHECK ARG… with a fresh server on the embedded default, then on PostgreSQL and Redis
#                                           where tests/run (or `make servers`) has named them in TEST_DATABASE_URL and TEST_REDIS_URL;
#                                           N is the numbered Redis that is emptied for it. Fails where a CHECK failed.
#
# A CHECK finds the server's address in `url` and a token for everything in `token`.

scoreboard_build() {
    [[ -z ${SCOREBOARD:-} ]] || return 0
    cargo build --bin scoreboard
    SCOREBOARD=${CARGO_TARGET_DIR:-target}/debug/scoreboard
}

# shellcheck disable=SC2329 # servers_start_one calls it.
servers_scoreboard_answers() {
    curl --silent --fail --output /dev/null "http://127.0.0.1:$1/readyz"
}

# Sends a request that must succeed: METHOD PATH BODY.
scoreboard_send() {
    local answer
    answer=$(curl --silent --show-error --fail-with-body --request "$1" "$url$2" --header "Authorization: Bearer $token" --json "$3") || {
        echo "$1 $2 $3: $answer" >&2
        return 1
    }
}

# Notes in scoreboard_failed whether the check fails: NAME, SETTING=VALUE…, --, CHECK, ARG…
scoreboard_check() {
    local name=$1 settings
    shift
    servers_dir=$(mktemp -d "${TMPDIR:-/tmp}/scoreboard-running.XXXXXX")
    # Nothing of the caller's environment. There is but one client, so the ordinary rate limit would answer most requests.
    settings=(env --ignore-environment "PATH=$PATH" "DATA_DIR=$servers_dir" "DATABASE_URL=sqlite://$servers_dir/scoreboard.db"
        RATE_LIMIT_PER_SECOND=100000 RATE_LIMIT_BURST=100000 ACCOUNTS=open GUESTS_PER_ADDRESS=100000)
    while [[ $1 != -- ]]; do
        settings+=("$1")
        shift
    done
    shift

    servers_start_one scoreboard "${settings[@]}" LISTEN_ADDR=127.0.0.1:@PORT@ "$SCOREBOARD" serve
    url=http://127.0.0.1:$servers_port
    token=$("${settings[@]}" "$SCOREBOARD" token --sub tests --ttl 1h \
        --scope 'scores:write scores:self leaderboards:admin leaderboards:read audit:read leaderboards:restricted moderation:write users:read users:write keys:admin accounts:admin')
    echo "-- $name"
    # Waited for rather than run as the condition, so that strict mode holds in it.
    ("$@") &
    wait $! || {
        scoreboard_failed=1
        echo '-- the last that the server said'
        tail -n 50 "$servers_dir/scoreboard.log"
    }
    servers_stop
}

# Never a condition itself, for the same reason.
scoreboard_on_each_backend() {
    local number=$1 database=running_$$
    shift
    scoreboard_failed=0
    scoreboard_check 'embedded default' -- "$@"
    if [[ -n ${TEST_DATABASE_URL:-} && -n ${TEST_REDIS_URL:-} ]]; then
        # Fresh ones.
        "$TEST_POSTGRES_BIN/psql" --quiet "$TEST_DATABASE_URL" --command "create database $database"
        redis-cli -u "$TEST_REDIS_URL/$number" flushdb >/dev/null
        scoreboard_check 'PostgreSQL and Redis' "DATABASE_URL=${TEST_DATABASE_URL%/*}/$database" "REDIS_URL=$TEST_REDIS_URL/$number" \
            -- "$@"
    fi
    return "$scoreboard_failed"
}
