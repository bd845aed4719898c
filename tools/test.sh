#!/usr/bin/env bash
# Runs every test. As root on Debian or Ubuntu it first says and installs what
# is missing; NO_INSTALL=1 installs nothing. Tests that lack something say so
# and are listed at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { printf '== %s\n' "$*"; }

dockerd_pid=""
work=$(mktemp -d)
finish() {
	if [ -n "$dockerd_pid" ]; then
		kill "$dockerd_pid" 2>/dev/null || true
		wait "$dockerd_pid" 2>/dev/null || true
	fi
	rm -rf "$work"
}
trap finish EXIT

may_install() { [ -z "${NO_INSTALL:-}" ] && [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

install_missing() {
	local missing=()
	command -v dockerd >/dev/null || missing+=(docker.io)
	command -v busybox >/dev/null || missing+=(busybox-static)
	[ ${#missing[@]} = 0 ] && return 0
	if ! may_install; then
		say "missing, and not installed: ${missing[*]} (needs root on Debian or Ubuntu, without NO_INSTALL)"
		return 0
	fi
	say "installing: ${missing[*]}"
	if ! { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "${missing[@]}"; } >"$work/apt.log" 2>&1; then
		say "installation failed; the tests that need it will be left out:"
		tail -n 5 "$work/apt.log"
	fi
}

start_docker() {
	docker info >/dev/null 2>&1 && return 0
	command -v dockerd >/dev/null && [ "$(id -u)" = 0 ] && [ -z "${NO_INSTALL:-}" ] || return 0
	say "starting a Docker engine for the tests"
	dockerd >"$work/dockerd.log" 2>&1 &
	dockerd_pid=$!
	for _ in $(seq 100); do
		docker info >/dev/null 2>&1 && return 0
		kill -0 "$dockerd_pid" 2>/dev/null || break
		sleep 0.3
	done
	say "the Docker engine did not start; its tests will be left out:"
	tail -n 5 "$work/dockerd.log"
	dockerd_pid=""
}

install_missing
start_docker

say "walls and format"
unformatted=$(gofmt -l $(git ls-files '*.go'))
if [ -n "$unformatted" ]; then
	say "not formatted: $unformatted"
	exit 1
fi
go test ./tools/...

say "lint"
make --no-print-directory lint

say "build"
make --no-print-directory build

say "tests"
go build -o "$work/leftovers" ./tools/leftovers
"$work/leftovers" -write "$work/before.json"
status=0
go test -tags invariants -timeout 10m -json ./... >"$work/tests.json" || status=$?
go run ./tools/testreport "$work/tests.json" || status=1
"$work/leftovers" -compare "$work/before.json" || status=1
exit "$status"
