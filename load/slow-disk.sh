#!/usr/bin/env bash
# The embedded server against one durable transaction a score, on disks that take their time: each sync is delayed by so many microseconds.
#
#   load/slow-disk.sh [ROUNDS] [SECONDS] [DELAY…]     3 rounds of 4 seconds with 0, 500 and 2000 where nothing else is said
#
# Set BENCH_BUILT=1 to use the programs that are there. Needs a C compiler.
set -Eeuo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
source load/servers.sh

rounds=${1:-3} seconds=${2:-4}
delays=("${@:3}")
((${#delays[@]})) || delays=(0 500 2000)

bench_prepare
shim=$bench_data/slow-sync.so
cc -O2 -shared -fPIC -o "$shim" load/slow-sync.c -ldl
for delay in "${delays[@]}"; do
    for ((round = 1; round <= rounds; round++)); do
        slowly=(LD_PRELOAD="$shim" SYNC_DELAY_US="$delay")
        bench_serve "slow-$delay-$round" "${slowly[@]}"
        (export "${slowly[@]}" && bench "fsync-$delay.$round" reference-fsync --directory "$bench_data" --seconds "$seconds")
        bench "embedded-$delay.$round" submit --url "$bench_url" --seconds "$seconds"
        bench_end "$bench_pid"
        echo "delay $delay µs: $(bench_figure "fsync-$delay.$round" perSecond) alone, $(bench_figure "embedded-$delay.$round" perSecond) embedded"
    done
done
