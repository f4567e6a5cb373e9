#!/usr/bin/env bash
# Thousands of random conversations, and floods of a million datagrams, in virtual time.
# Usage: scripts/model.sh [SEEDS] [FIRST]
set -euo pipefail
cd "$(dirname "$0")/.."
SENDOFF_MODEL_SEEDS=${1:-20000} SENDOFF_MODEL_FIRST=${2:-0} \
    cargo test --release -p sendoff-proto --test model --test conversations -- --nocapture
SENDOFF_FLOOD=1000000 cargo test --release -p sendoff-proto --test floods
