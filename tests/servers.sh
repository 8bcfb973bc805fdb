# A throwaway PostgreSQL and Redis for the tests. Sourced by tests/run and tests/servers, which run in strict mode.
#
#   servers_install   installs what is missing, by apt
#   servers_start     starts both on free loopback ports and exports TEST_DATABASE_URL, TEST_REDIS_URL and where the programs are
#   servers_stop      ends both by their pids and removes their files; harmless when nothing was started
#
# The servers that Debian's packages may start by themselves are never touched: ours live in a temporary directory of their own.

# Settings of PostgreSQL beside the defaults, as words: -c name=value. Nothing has to outlast this machine, and a disk that others keep
# busy would fail tests: the server answers 503 to writes that have waited two seconds for the commits before them.
servers_postgres_settings=(-c fsync=off)
servers_dir=
servers_pids=()

# Prints the directory of the newest PostgreSQL that is at least version 15; fails where there is none.
servers_postgres_bin() {
    local bin version candidates=(/usr/lib/postgresql/*/bin)
    # Where PATH leads to links, the other programs lie beside what they point at.
    command -v postgres >/dev/null && candidates+=("$(dirname "$(readlink -f "$(command -v postgres)")")")
    for bin in "${candidates[@]}"; do
        [[ -x $bin/initdb && -x $bin/postgres && -x $bin/pg_isready ]] || continue
        version=$("$bin/postgres" --version | grep -oE '[0-9]+' | head -n 1)
        ((version >= 15)) && echo "$version $bin"
    done | sort -n | tail -n 1 | cut -d ' ' -f 2- | grep .
}

# Prints the path of the first of the named programs that is there.
servers_program() {
    local name
    for name in "$@"; do command -v "$name" && return; done
    return 1
}

servers_install() {
    local packages=() as_root=()
    servers_postgres_bin >/dev/null || packages+=(postgresql)
    servers_program redis-server >/dev/null || packages+=(redis-server)
    servers_program redis-cli >/dev/null || packages+=(redis-tools)
    servers_program chromium chromium-browser google-chrome >/dev/null || packages+=(chromium)
    servers_program chromedriver >/dev/null || packages+=(chromium-driver)
    servers_program nginx /usr/sbin/nginx >/dev/null || packages+=(nginx-light)
    servers_program haproxy /usr/sbin/haproxy >/dev/null || packages+=(haproxy)
    compgen -G '/usr/lib/*/faketime/libfaketime.so.1' >/dev/null || packages+=(libfaketime)
    servers_program curl >/dev/null || packages+=(curl)
    servers_program openssl >/dev/null || packages+=(openssl)
    servers_program node >/dev/null || packages+=(nodejs)
    servers_program npm >/dev/null || packages+=(npm)
    python3 -c 'import ensurepip, venv' 2>/dev/null || packages+=(python3-venv)
    ((${#packages[@]})) || return 0

    if ! command -v apt-get >/dev/null; then
        echo "missing, and there is no apt-get to install it: ${packages[*]}" >&2
        return 1
    fi
    ((EUID == 0)) || as_root=(sudo)
    echo "installing ${packages[*]}"
    "${as_root[@]}" apt-get update -qq
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive \
        apt-get install -y -qq --no-install-recommends -o DPkg::Lock::Timeout=300 "${packages[@]}" </dev/null
}

servers_start() {
    servers_dir=$(mktemp -d "${TMPDIR:-/tmp}/scoreboard-servers.XXXXXX")
    # PostgreSQL refuses to run as root.
    local user=() owner=
    if ((EUID == 0)); then
        owner=postgres
        id "$owner" >/dev/null 2>&1 || owner=nobody
        user=(setpriv "--reuid=$owner" "--regid=$(id -g "$owner")" --clear-groups)
        chown "$owner" "$servers_dir"
    fi

    TEST_POSTGRES_BIN=$(servers_postgres_bin)
    TEST_REDIS_SERVER=$(servers_program redis-server)
    # A collation that is not bytewise: the ranking's own order must not depend on the database's default.
    "${user[@]}" "$TEST_POSTGRES_BIN/initdb" --pgdata="$servers_dir/postgres" --username=postgres --auth=trust --encoding=UTF8 \
        --locale=C.UTF-8 --locale-provider=icu --icu-locale=en-US >"$servers_dir/initdb.log" 2>&1 || {
        cat "$servers_dir/initdb.log" >&2
        return 1
    }

    servers_start_one postgres "${user[@]}" "$TEST_POSTGRES_BIN/postgres" -D "$servers_dir/postgres" -k "$servers_dir" \
        -c listen_addresses=127.0.0.1 -c max_connections=300 "${servers_postgres_settings[@]}" -p @PORT@
    TEST_DATABASE_URL=postgres://postgres@127.0.0.1:$servers_port/postgres
    servers_start_one redis "${user[@]}" "$TEST_REDIS_SERVER" --bind 127.0.0.1 --port @PORT@ \
        --save '' --appendonly no --dir "$servers_dir"
    TEST_REDIS_URL=redis://127.0.0.1:$servers_port

    CHROMIUM=$(servers_program chromium chromium-browser google-chrome)
    CHROMEDRIVER=$(servers_program chromedriver)
    NGINX=$(servers_program nginx /usr/sbin/nginx)
    HAPROXY=$(servers_program haproxy /usr/sbin/haproxy)
    export TEST_DATABASE_URL TEST_REDIS_URL TEST_POSTGRES_BIN TEST_REDIS_SERVER CHROMIUM CHROMEDRIVER NGINX HAPROXY
}

# Starts a server, given its name and a command with @PORT@ for the port, and waits until servers_NAME_answers; leaves the port in
# servers_port. Nothing but trying tells whether a port is free, so a server that cannot have one gets another. The ports lie below
# the range from which the kernel serves port 0, so that no test takes one of them.
servers_start_one() {
    local name=$1 pid deadline attempt
    shift
    for attempt in {1..10}; do
        servers_port=$((20000 + RANDOM % 12000))
        "${@//@PORT@/$servers_port}" </dev/null >"$servers_dir/$name.log" 2>&1 &
        pid=$!
        servers_pids+=("$pid")
        deadline=$((SECONDS + 30))
        while kill -0 "$pid" 2>/dev/null && ((SECONDS < deadline)); do
            "servers_${name}_answers" "$servers_port" && kill -0 "$pid" 2>/dev/null && return
            sleep 0.1
        done
        unset 'servers_pids[-1]'
        kill -KILL "$pid" 2>/dev/null || true
        wait "$pid" 2>/dev/null || true
    done
    echo "$name did not start, $attempt attempts; the last one said:" >&2
    cat "$servers_dir/$name.log" >&2
    return 1
}

servers_postgres_answers() {
    "$TEST_POSTGRES_BIN/pg_isready" -q -h 127.0.0.1 -p "$1"
}

servers_redis_answers() {
    [[ $(redis-cli -h 127.0.0.1 -p "$1" ping 2>/dev/null) == PONG ]]
}

servers_stop() {
    local pid
    # SIGINT because PostgreSQL takes SIGTERM alone as leave to wait for its clients.
    for pid in "${servers_pids[@]}"; do kill -TERM "$pid" 2>/dev/null && kill -INT "$pid" 2>/dev/null || true; done
    for pid in "${servers_pids[@]}"; do wait "$pid" 2>/dev/null || true; done
    servers_pids=()
    [[ -z $servers_dir ]] || rm -rf "$servers_dir"
    servers_dir=
}
