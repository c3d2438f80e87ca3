#!/usr/bin/env bash
# What the browser tests need: Debian's Chromium and two packages from the npm registry.
set -euo pipefail
cd "$(dirname "$0")"
if ! command -v chromium >/dev/null; then
    apt-get update -qq
    apt-get install -y -qq --no-install-recommends chromium >/dev/null
fi
npm ci --silent
