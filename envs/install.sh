#!/usr/bin/env bash
# Usage: envs/install.sh gpu|cpu: puts the locked packages into .venv; `make setup` calls it.
#
# With "cpu", torch comes from the index of its CPU builds, which uv knows, in the locked version;
# the lock has no digests of those. Where that index is out of reach, torch is the usual one, which
# does not start without most of the CUDA libraries: only what GPUs alone load is left out.
set -euo pipefail

readonly uv=.venv/bin/uv python=.venv/bin/python lock=envs/requirements.txt
readonly of_gpus='triton|cuda-(bindings|pathfinder|toolkit)|nvidia-(cusolver|nvjitlink|nvtx|cuda-cccl)'

# Usage: install_without NAMES: all locked packages but those whose names match.
install_without() {
    awk -v names="^($1)==" '/^[a-z]/ {keep = $0 !~ names} keep' "$lock" >.venv/locked.txt
    "$uv" pip sync --python "$python" --require-hashes --compile-bytecode .venv/locked.txt
}

install_cpu_builds() {
    local pins
    mapfile -t pins < <(grep -oE '^torch(vision)?==[^ ]+' "$lock")
    "$uv" pip install --python "$python" --no-deps --torch-backend cpu --compile-bytecode "${pins[@]}"
}

if [[ $1 == gpu ]]; then
    echo "setup: installing the locked packages (the first time about 3 GB are downloaded)"
    install_without none
    exit
fi
echo "setup: installing the locked packages, torch for CPUs"
install_without 'torch|torchvision|triton|cuda-.*|nvidia-.*'
if ! install_cpu_builds; then
    echo "setup: the CPU builds of torch are out of reach: taking the usual one, without what only" \
        "GPUs load"
    install_without "$of_gpus"
fi
