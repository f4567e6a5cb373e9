#!/usr/bin/env bash
# Speed and memory of dissect beside tshark: a line for each packet, nobody reads it.
# Usage: scripts/dissect-speed.sh [MIB [CONVERSATIONS [ROUNDS]]]      (1024 64 3; the capture goes to $TMPDIR, and away)
# Needs tshark and GNU time. CPU seconds count where others use the machine too.
set -euo pipefail
cd "$(dirname "$0")/.."
mib=${1:-1024} conversations=${2:-64} rounds=${3:-3}
capture=$(mktemp --suffix .pcapng)
measured=$(mktemp)
trap 'rm -f "$capture" "$measured"' EXIT

cargo build --release -q -p sendoff-cli -p sendoff-capture --bin sendoff --example traffic
target=${CARGO_TARGET_DIR:-target}/release
"$target/examples/traffic" "$capture" "$mib" "$conversations"
# What the disk does is no matter.
cat "$capture" > /dev/null

measure() {
    local name=$1
    shift
    # What a program says on stderr comes before the measurement.
    /usr/bin/time -f '%e %U %S %M' "$@" 2> "$measured" > /dev/null
    tail -n 1 "$measured" | awk -v name="$name" \
        '{ printf "%-14s %7.2f s   %7.2f s of CPU   %6.0f MB\n", name, $1, $2 + $3, $4 / 1000 }'
}
for _ in $(seq "$rounds"); do
    measure dissect "$target/sendoff" dissect "$capture"
    measure 'dissect --json' "$target/sendoff" dissect --json "$capture"
    measure tshark tshark -n -r "$capture"
done
