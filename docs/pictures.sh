#!/usr/bin/env bash
# Makes the README's pictures: runs the demo, walks through it in Chromium.
set -eu
cd "$(dirname "$0")/.."
cargo build --release --quiet
(cd e2e && npm ci --silent --no-audit --no-fund)
FAIRLINE_BINARY=$PWD/${CARGO_TARGET_DIR:-target}/release/fairline node e2e/pictures.js
