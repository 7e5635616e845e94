#!/usr/bin/env bash
# Makes the pictures of a night on the dashboards (docs/dashboards.md), as root: a quarter of an
# hour.
set -eu
cd "$(dirname "$0")/.."
.ci/test-long night
cp "${CARGO_TARGET_DIR:-target}"/night/*.svg docs/pictures/
