#!/bin/sh
# The Debian packages of the services that tests start for themselves (tests/services.py), only if
# they are missing. Nothing is started, and nothing fails here: without them the tests skip by name.
set -u
PATH="$PATH:/usr/sbin:/sbin"

missing=""
command -v mosquitto >/dev/null || missing="$missing mosquitto"
command -v mosquitto_pub >/dev/null || missing="$missing mosquitto-clients"
ls /usr/lib/postgresql/*/bin/postgres >/dev/null 2>&1 || missing="$missing postgresql"
command -v chromium >/dev/null || missing="$missing chromium"
[ -n "$missing" ] || exit 0

skip() {
    echo "Not installed:$missing ($1). The tests that need them skip, and say so." >&2
    exit 0
}

command -v apt-get >/dev/null || skip "no apt-get here"
as_root=""
if [ "$(id -u)" != 0 ]; then
    as_root="sudo -n"
    $as_root true 2>/dev/null || skip "not root"
fi

# Debian asks this file before it starts a service; ours says no, and is gone again at the end
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
    printf '#!/bin/sh\nexit 101\n' | $as_root tee "$policy" >/dev/null || skip "/usr is read-only"
    trap '$as_root rm -f "$policy"' EXIT
    trap 'exit 130' INT TERM
    $as_root chmod 755 "$policy"
fi
# shellcheck disable=SC2086 # several packages, and perhaps no sudo
$as_root apt-get -q update >/dev/null 2>&1 || true
$as_root env DEBIAN_FRONTEND=noninteractive \
    apt-get -q install -y --no-install-recommends $missing >/dev/null || skip "apt-get failed"
