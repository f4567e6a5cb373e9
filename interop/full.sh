#!/usr/bin/env bash
# The full product of the kcp-go trials (640 rows), or those that match KEY=VALUE arguments.
# Prints a table of their figures (Markdown), and what failed.
set -euo pipefail
cd "$(dirname "$0")"
./setup.sh >/dev/null
exec cargo run --release --quiet --bin interop -- "$@"
