#!/usr/bin/env bash
# Puts `prometheus` and `promtool` into a folder without touching the system: from PATH, or out of Debian's package.
# Usage: deploy/prometheus/install.sh [folder, default .venv/prometheus]
set -euo pipefail

folder=$(realpath -m "${1:-.venv/prometheus}")
[[ -x $folder/prometheus && -x $folder/promtool ]] && exit 0
mkdir -p "$folder"

if command -v prometheus > /dev/null && command -v promtool > /dev/null; then
  ln -sf "$(command -v prometheus)" "$(command -v promtool)" "$folder"
  exit 0
fi
if ! command -v apt-get > /dev/null || ! command -v dpkg-deb > /dev/null; then
  echo "install Prometheus 2.42 or newer (prometheus and promtool on PATH); this system has no Debian packages" >&2
  exit 1
fi

download=$(mktemp -d)
trap 'rm -rf "$download"' EXIT
# World-readable, so that apt's own download user can write here when we are root.
chmod 755 "$download"
cd "$download"
if ! apt-get download prometheus 2> download.log; then
  # The package lists are missing or old. Ours lie here, so that this needs no root.
  mkdir -p lists/partial cache/archives/partial
  here=(-o Dir::State::lists="$download/lists" -o Dir::Cache="$download/cache")
  apt-get "${here[@]}" update
  apt-get "${here[@]}" download prometheus
fi
dpkg-deb -x prometheus_*.deb package
install -m 755 package/usr/bin/prometheus package/usr/bin/promtool "$folder"
"$folder/prometheus" --version 2>&1 | head -n 1
