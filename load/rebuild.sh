#!/usr/bin/env bash
# How long a lost ranking of many entries takes to come back, and how reads and writes fare meanwhile.
#
#   load/rebuild.sh [ENTRIES]     needs a release build; starts a throwaway PostgreSQL and Redis of its own
set -Eeuo pipefail
set -m
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source tests/servers.sh

entries=${1:-1000000}
scoreboard=${CARGO_TARGET_DIR:-target}/release/scoreboard
work=$(mktemp -d)
server=
finish() {
    [[ -z $server ]] || kill "$server" 2>/dev/null || true
    servers_stop
    rm -rf "$work"
}
trap finish EXIT

servers_install
servers_start
psql() { "$TEST_POSTGRES_BIN/psql" -qAtX -v ON_ERROR_STOP=1 "$TEST_DATABASE_URL" "$@"; }
export DATABASE_URL=$TEST_DATABASE_URL REDIS_URL=$TEST_REDIS_URL DATA_DIR=$work
port=$((20000 + RANDOM % 12000))
export LISTEN_ADDR=127.0.0.1:$port
api=http://$LISTEN_ADDR/api

serve() {
    "$scoreboard" serve >>"$work/log" 2>&1 &
    server=$!
    for _ in {1..600}; do
        [[ $(curl -s -o /dev/null -w '%{http_code}' "http://$LISTEN_ADDR/readyz") == 200 ]] && return
        sleep 0.1
    done
    echo 'the server does not come up' >&2
    return 1
}
serve
token=$("$scoreboard" token --sub load --scope 'scores:write leaderboards:admin')
admin() { curl -sf -o /dev/null -H "Authorization: Bearer $token" -H 'Content-Type: application/json' "$@"; }
admin "$api/leaderboards" -d '{"id":"other","name":"Another board"}'
admin "$api/actions" -d '{"id":"other","name":"There","leaderboards":["other"],"points":1}'
admin "$api/actions" -d '{"id":"main","name":"Here","leaderboards":["main"],"points":1}'
kill "$server" && wait "$server" || true

echo "filling $entries entries"
psql <<SQL
INSERT INTO users (id, revision, created_at, updated_at) SELECT 'user-' || g, 0, 0, 0 FROM generate_series(1, $entries) g;
INSERT INTO entries (leaderboard_pk, season, score, sort_score, reached_at, revision, user_id)
SELECT l.pk, 1, g * 7919 % 1000003, -(g * 7919 % 1000003), 1790000000000000 + g, 1, 'user-' || g
FROM leaderboards l, generate_series(1::bigint, $entries) g WHERE l.id = 'main';
SQL
psql -c 'VACUUM ANALYZE entries' -c 'VACUUM ANALYZE users' -c CHECKPOINT

serve
from() { curl -s -o /dev/null -w '%header{cache-status}' "$api/leaderboards/main/entries?limit=10"; }
until [[ $(from) == 'redis; hit' ]]; do sleep 0.2; done

# One answer after the other, each a line of seconds and what was said.
poll() {
    local name=$1 wanted=$2
    shift 2
    while [[ ! -e $work/ready ]]; do
        curl -s -o /dev/null -w "%{time_total} %{http_code} $wanted\n" -H "Authorization: Bearer $token" "$@" >>"$work/$name"
        sleep 0.02
    done
}
post=(-H 'Content-Type: application/json' "$api/scores" -d)
redis-cli -u "$TEST_REDIS_URL" FLUSHALL >/dev/null
poll window '%header{cache-status}' "$api/leaderboards/main/entries?limit=10" &
pollers=($!)
poll entry '%header{cache-status}' "$api/leaderboards/main/entries/user-4711" &
pollers+=($!)
poll write-here '' "${post[@]}" '{"actionId":"main","userId":"user-4711"}' &
pollers+=($!)
poll write-other '' "${post[@]}" '{"actionId":"other","userId":"user-4711"}' &
pollers+=($!)
until [[ $(from) == 'redis; hit' ]]; do sleep 0.05; done
touch "$work/ready"
wait "${pollers[@]}"

grep -a 'ranking rebuilt' "$work/log" | tail -n 1 | grep -oE 'entries.*' | sed 's/\x1b\[[0-9;]*m//g'
for name in window entry write-here write-other; do
    sort -n "$work/$name" | awk -v name="$name" '
        { at[NR] = $1; if ($2 != 200) bad++ }
        END { printf "%-12s %4d answers, p50 %5.1f ms, p99 %6.1f ms, slowest %6.1f ms, refused %d\n",
              name, NR, 1000 * at[int((NR + 1) / 2)], 1000 * at[int(NR * 0.99 + 0.5)], 1000 * at[NR], bad }'
done
