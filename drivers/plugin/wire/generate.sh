#!/bin/sh
# Regenerates the Go code of the plugin protocol from the .proto files here.
# Needs protoc, protoc-gen-go and protoc-gen-go-grpc.
set -eu
cd "$(dirname "$0")"
protoc -I . \
	--go_out=. --go_opt=module=github.com/steppe-run/steppe/drivers/plugin/wire \
	--go-grpc_out=. --go-grpc_opt=module=github.com/steppe-run/steppe/drivers/plugin/wire \
	$(find plugins -name '*.proto' | sort)
