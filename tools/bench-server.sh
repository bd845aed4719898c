#!/bin/bash
# Prints each figure that Steppe promises of a server, by the command that
# measures it. docs/figures.md says what each must reach. Nothing else should run
# on the machine meanwhile.
set -eu
cd "$(dirname "$0")/.."
pipeline() { # one process a scenario, so that memory is its own
	echo "== $1"
	go test ./server -run '^$' -bench "^$1\$" -benchtime "${2:-1x}" -timeout 20m | grep -E 'Benchmark|FAIL|ended' || true
}
load() {
	echo "== steppe sim load $*"
	bin/steppe sim load "$@"
}
pipeline BenchmarkBulk
pipeline BenchmarkTwoMillion
pipeline BenchmarkLargestJob
pipeline BenchmarkRestart
pipeline BenchmarkNodesLost
pipeline BenchmarkJobPlan 10x
load -nodes 1000 -jobs 500 -count 10 -connections 32 -type batch
load -nodes 1000 -jobs 500 -count 10 -connections 32 -type service
load -nodes 100 -jobs 10000 -count 1 -connections 16 -type batch -sizing 0
