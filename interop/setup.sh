#!/usr/bin/env bash
# Builds the peer programs and the command into interop/target/peers. Installs libclang, netcat, socat, tshark and Chromium
# (Debian's packages) where they are missing and this is run as root; Go must be there.
set -euo pipefail
cd "$(dirname "$0")"

if ! command -v go >/dev/null; then
    echo "setup.sh: go is missing" >&2
    exit 1
fi
# libclang itself, not libclang-cpp, which is of no use to bindgen.
has_libclang() {
    ldconfig -p | grep -Eq 'libclang(-[0-9]+)?\.so' || compgen -G '/usr/lib/llvm-*/lib/libclang.so*' >/dev/null
}
missing=()
has_libclang || missing+=(libclang-dev)
command -v nc >/dev/null || missing+=(netcat-openbsd)
command -v socat >/dev/null || missing+=(socat)
command -v tshark >/dev/null || missing+=(tshark)
# For the page that dissect writes; with fonts, which it only recommends.
command -v chromium >/dev/null || missing+=(chromium fonts-dejavu-core)
if ((${#missing[@]})); then
    export DEBIAN_FRONTEND=noninteractive
    apt-get install -y --no-install-recommends "${missing[@]}" ||
        { apt-get update && apt-get install -y --no-install-recommends "${missing[@]}"; }
fi

mkdir -p target/peers
(
    cd go
    # Both are the same source but for what 5.6.1 has not; -trimpath and no VCS stamp, so that nothing but the version differs.
    go build -trimpath -buildvcs=false -o ../target/peers/kcp-go-5.6.72 .
    go build -trimpath -buildvcs=false -modfile=v561.mod -tags v561 -o ../target/peers/kcp-go-5.6.1 .
    go build -trimpath -buildvcs=false -o ../target/peers/fecvectors ./fecvectors
    # Nothing but the standard library: a module without dependencies.
    cd std
    go build -trimpath -buildvcs=false -o ../../target/peers/std .
)
cargo build --release --quiet -p ikcp-peer -p tokio-kcp-peer -p kcp-tokio-peer
built=${CARGO_TARGET_DIR:-target}/release
cp "$built/ikcp" "$built/tokio-kcp" "$built/kcp-tokio" target/peers/
cargo build --release --quiet --manifest-path ../Cargo.toml -p sendoff-cli
cp "${CARGO_TARGET_DIR:-../target}/release/sendoff" target/peers/
ls target/peers
