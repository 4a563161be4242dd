#!/usr/bin/env bash
# Cancels jobs of submit.sh.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/queues/${DDCNN_QUEUE:-local}.sh"
for folder; do
    queue_cancel "$(<"$folder/number")"
done
