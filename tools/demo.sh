#!/usr/bin/env bash
# Starts a development agent, runs the demo job and shows it. With "once" it
# fetches each instance's page and ends; else it stays until Ctrl-C.
set -euo pipefail
cd "$(dirname "$0")/.."

port=${DEMO_PORT:-4646} # and the two above it
export STEPPE_ADDR="http://127.0.0.1:$port"
unset NOMAD_ADDR
work=$(mktemp -d)
agent=""
finish() {
	trap - EXIT INT TERM
	if [ -n "$agent" ]; then
		bin/steppe job stop -purge -detach hello >/dev/null 2>&1 || true
		kill -INT "$agent" 2>/dev/null || true
		wait "$agent" 2>/dev/null || true
	fi
	rm -rf "$work"
}
trap finish EXIT
trap 'exit 0' INT TERM

bin/steppe agent -dev -config <(printf 'ports {\n  http = %s\n  rpc = %s\n  serf = %s\n}\n' "$port" $((port + 1)) $((port + 2))) >"$work/agent.log" 2>&1 &
agent=$!
for _ in $(seq 200); do
	sleep 0.1
	# Another agent may answer at this address: only this one's work counts.
	if ! kill -0 "$agent" 2>/dev/null; then
		agent=""
		echo "The agent ended:" >&2
		cat "$work/agent.log" >&2
		echo "If an address is in use: DEMO_PORT=5646 make demo takes other ports." >&2
		exit 1
	fi
	grep -q "$STEPPE_ADDR" "$work/agent.log" || continue
	leader=$(bin/steppe server members 2>/dev/null | grep -c true || true)
	nodes=$(bin/steppe node status -quiet 2>/dev/null || true)
	[ "$leader" -ge 1 ] && [ -n "$nodes" ] && break
done

bin/steppe job run -var "binary=$PWD/bin/steppe" examples/hello.hcl

echo
echo "The instances:"
addresses=$(bin/steppe service info -t '{{range .}}{{.Address}}:{{.Port}}{{"\n"}}{{end}}' hello)
failed=0
for address in $addresses; do
	printf '  http://%s\n' "$address"
	if [ "${1:-}" = once ]; then
		curl -fsS --max-time 5 "http://$address/" | sed -n 's/<tr><td>allocation<td><code>\(.*\)<\/code>/    allocation \1/p' || failed=1
	fi
done
[ -n "$addresses" ] || { echo "no instance is registered" >&2; exit 1; }

if [ "${1:-}" = once ]; then
	exit "$failed"
fi
cat <<TXT

Try next:
  export STEPPE_ADDR=$STEPPE_ADDR
  bin/steppe job status hello
  curl http://${addresses%%[[:space:]]*}/crash && bin/steppe job status hello        # and see it heal
  bin/steppe job run -var binary=$PWD/bin/steppe -var version=2 examples/hello.hcl   # a rolling update
TXT

echo
echo "The agent runs until Ctrl-C."
wait "$agent"
