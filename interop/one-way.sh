#!/usr/bin/env bash
# Stock clients that only send, to our listener, for a minute or so many seconds; with figures.
set -euo pipefail
cd "$(dirname "$0")"
./setup.sh >/dev/null
export CI=true SENDOFF_ONE_WAY_SECONDS=${1:-60}
exec cargo test --release --test one_way_clients -- --nocapture
