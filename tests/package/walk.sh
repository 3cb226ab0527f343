#!/bin/bash
# walk.sh ARCHIVE: what somebody does who has just fetched it: unpack, ask, serve, ask the API, look at the walls.
# Runs inside of a bare system (enter.sh); it uses nothing but bash and tar. Prints the seconds to the first answer.
set -euo pipefail
archive=$1

# Longest from the archive to the first answer, in seconds.
LIMIT=60
TOKEN=0123456789abcdef0123456789abcdef
PORT=8080

die() {
    printf 'walk.sh: %s\n' "$*" >&2
    [ ! -s "$HOME/log" ] || tail -20 "$HOME/log" >&2
    exit 1
}

HOME=$(mktemp -d /var/tmp/walk.XXXXXX)
export HOME
cd "$HOME"
for name in cargo rustc docker podman node curl wget python3; do
    ! command -v "$name" >/dev/null || die "this system is not bare: it has \`$name\`"
done
! (exec 3<>/dev/tcp/192.0.2.1/80) 2>/dev/null || die "this system has a network"

began=$EPOCHREALTIME
tar --extract --strip-components=1 --file "$archive"
answer=$(./nanogridbot run -p hi 2>log) || die "\`run\` failed: $answer"
seconds=$(printf '%s %s\n' "$began" "$EPOCHREALTIME" | { read -r a b; echo "$(((${b/./} - ${a/./}) / 1000))"; })
[ -n "$answer" ] || die "\`run\` gave no answer"
[ "$seconds" -lt $((LIMIT * 1000)) ] || die "the first answer took $seconds ms"

mkdir gateway
printf '[web]\ntoken = "%s"\nport = %s\n' "$TOKEN" "$PORT" >gateway/config.toml
chmod 600 gateway/config.toml
./nanogridbot --home gateway serve >>log 2>&1 &
gateway=$!

# http METHOD PATH [BODY]: prints the answer with its head.
http() {
    local body=${3:-}
    exec 3<>"/dev/tcp/127.0.0.1/$PORT" || return 1
    printf '%s %s HTTP/1.1\r\nhost: 127.0.0.1\r\nauthorization: Bearer %s\r\nconnection: close\r\ncontent-type: application/json\r\ncontent-length: %s\r\n\r\n%s' \
        "$1" "$2" "$TOKEN" "${#body}" "$body" >&3
    cat <&3
    exec 3>&-
}

until http GET /readyz 2>/dev/null | grep -q '^HTTP/1.1 200'; do
    kill -0 "$gateway" 2>/dev/null || die "the gateway ended"
    read -rt 0.1 <> <(:) || true
done
walls=$(http POST /api/messages '{"group": "main", "content": "show the walls"}') || die "the API does not answer"
[[ $walls == *'"outcome":"answered"'* ]] || die "no answer over the API: $walls"
for wall in 'read /etc/shadow: No such file' '1.1.1.1:443: Network is unreachable' 'network devices: lo\n' 'NoNewPrivs:\t1' 'Seccomp:\t2'; do
    [[ $walls == *"$wall"* ]] || die "no wall \`$wall\`: $walls"
done
health=$(http GET /api/status)
[[ $health == *'"engine":"native"'* ]] || die "the sandbox is not proved: $health"
kill -TERM "$gateway"
wait "$gateway" || die "the gateway ended with $?"
printf 'package: first answer after %d.%03d s, as user %d on %s\n' \
    $((seconds / 1000)) $((seconds % 1000)) "$UID" "$(. /etc/os-release && echo "$PRETTY_NAME")"
