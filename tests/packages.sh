# Pinned packages that the tests need beside Debian's: installed at the first run, kept under ~/.cache/scoreboard, found again by what
# pins them. Sourced by scripts in strict mode.
#
#   packages_python NAME REQUIREMENTS   prints the directory of a virtual environment with them
#   packages_node                       puts a Node.js on PATH that Redocly can use
#   packages_npm NAME FOLDER            prints a directory whose node_modules hold what FOLDER's package-lock.json pins
#   packages_promtool                   prints the path of Prometheus's promtool
#
# A registry that does not answer ends the script instead of holding it up.

packages_within=(timeout --kill-after=10 300)
packages_cache=${XDG_CACHE_HOME:-$HOME/.cache}/scoreboard

packages_python() {
    local name=$1 requirements=$2 python dir
    python=$(python3 -c 'import sys; print("%d.%d" % sys.version_info[:2])')
    dir=$packages_cache/$name-$python-$(sha256sum "$requirements" | head -c 12)
    if [[ ! -e $dir/complete ]]; then
        python3 -m venv --clear "$dir"
        "${packages_within[@]}" "$dir/bin/pip" install --quiet --disable-pip-version-check --requirement "$requirements" >&2
        touch "$dir/complete"
    fi
    echo "$dir"
}

# Debian 12 has Node.js 18, too old for Redocly; the registry has newer ones as packages.
packages_node() {
    local dir=$packages_cache/node-22
    node -e 'const [major, minor] = process.versions.node.split("."); process.exit(major > 20 || (major == 20 && minor > 18) ? 0 : 1)' \
        && return
    if [[ ! -e $dir/complete ]]; then
        mkdir -p "$dir"
        "${packages_within[@]}" npm install --silent --no-audit --no-fund --prefix "$dir" node@22.23.3 >&2
        touch "$dir/complete"
    fi
    PATH=$dir/node_modules/node/bin:$PATH
}

packages_npm() {
    local name=$1 folder=$2 dir
    dir=$packages_cache/$name-npm-$(sha256sum "$folder/package-lock.json" | head -c 12)
    if [[ ! -e $dir/complete ]]; then
        mkdir -p "$dir"
        cp "$folder/package.json" "$folder/package-lock.json" "$folder/.npmrc" "$dir"
        (cd "$dir" && "${packages_within[@]}" npm ci --silent --ignore-scripts --no-audit --no-fund) >&2
        touch "$dir/complete"
    fi
    echo "$dir"
}

# Only the one program is taken out of Debian's package: the server in it would be started when installed.
packages_promtool() {
    local dir=$packages_cache/promtool download as_root=()
    command -v promtool && return
    # One that was written to a full disk is there and does not run.
    if ! "$dir/promtool" --version >/dev/null 2>&1; then
        ((EUID == 0)) || as_root=(sudo)
        mkdir -p "$dir"
        download=$(mktemp -d)
        (
            cd "$download"
            apt-cache show prometheus >/dev/null 2>&1 || "${as_root[@]}" apt-get update -qq
            apt-get download -qq -o APT::Sandbox::User="$(id -un)" prometheus
            dpkg-deb --fsys-tarfile prometheus_*.deb | tar --extract ./usr/bin/promtool
        ) >&2
        mv "$download/usr/bin/promtool" "$dir/promtool"
        rm -rf "$download"
    fi
    echo "$dir/promtool"
}
