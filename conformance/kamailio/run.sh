#!/bin/sh
# Runs the conformance suite against Kamailio and prints its scoreboard beside that of the core.
#   conformance/kamailio/run.sh [--slow] [--parallel N] [SUITE...]
# Needs: kamailio (Debian package), sansip installed. What Kamailio does is shown, not judged. Leaves kamailio.json and core.json in $OUT.
set -eu
command -v kamailio > /dev/null || {
	echo "kamailio is not installed (apt install kamailio): nothing to compare with" >&2
	[ "${CI:-}" = true ] && exit 1
	exit 0
}
here=$(cd "$(dirname "$0")" && pwd)
out=${OUT:-$(mktemp -d)}
address=${ADDRESS:-127.0.0.88:5060}
mkdir -p "$out/run"
{
	sed -n 1p "$here/kamailio.cfg"
	echo "listen=udp:$address"
	echo "listen=tcp:$address"
	sed 1d "$here/kamailio.cfg"
} > "$out/kamailio.cfg"
kamailio -f "$out/kamailio.cfg" -DD -E -w "$out/run" -Y "$out/run" -P "$out/run/pid" -m 64 -M 8 > "$out/kamailio.log" 2>&1 &
pid=$!
trap 'kill $pid 2>/dev/null; wait $pid 2>/dev/null || true' EXIT
sleep 2
kill -0 $pid || { tail "$out/kamailio.log"; exit 2; }
sansip conformance run --json --target "udp:$address" "$@" > "$out/kamailio.json" || true
words=$(printf '%s\n' "$@" | grep -v -e '^--slow$' || true)
sansip conformance run --json $words > "$out/core.json" || true
sansip conformance run $words --beside "$out/kamailio.json" || true
python3 "$here/differences.py" "$out/kamailio.json" "$out/core.json"
