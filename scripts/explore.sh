#!/usr/bin/env bash
# All states of conversations, breadth first, with the real code. Usage: scripts/explore.sh [STATES] [TEST NAME]
# A million states of one scenario take about a minute and 4 GB; tests run side by side as the machine has cores.
set -euo pipefail
cd "$(dirname "$0")/.."
SENDOFF_EXPLORE_STATES=${1:-1200000} \
    cargo test --release -p sendoff-proto --test explore ${2:+"$2"} -- --nocapture
