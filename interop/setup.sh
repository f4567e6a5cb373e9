#!/usr/bin/env bash
# Builds the peer programs into interop/target/peers. Installs libclang and tshark (Debian's packages) where
# they are missing and this is run as root; Go must be there.
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
if ! has_libclang; then
    apt-get install -y --no-install-recommends libclang-dev ||
        { apt-get update && apt-get install -y --no-install-recommends libclang-dev; }
fi

if ! command -v tshark >/dev/null; then
    install_tshark() { DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends tshark; }
    install_tshark || { apt-get update && install_tshark; }
fi

mkdir -p target/peers
(
    cd go
    # Both are the same source; -trimpath and no VCS stamp, so that nothing but the version differs.
    go build -trimpath -buildvcs=false -o ../target/peers/kcp-go-5.6.72 .
    go build -trimpath -buildvcs=false -modfile=v561.mod -o ../target/peers/kcp-go-5.6.1 .
    go build -trimpath -buildvcs=false -o ../target/peers/fecvectors ./fecvectors
)
cargo build --release --quiet -p ikcp-peer -p tokio-kcp-peer -p kcp-tokio-peer
built=${CARGO_TARGET_DIR:-target}/release
cp "$built/ikcp" "$built/tokio-kcp" "$built/kcp-tokio" target/peers/
ls target/peers
