#!/usr/bin/env bash
# Prints running, success or failed for a job of submit.sh.
#
# What the job wrote at its end decides. A job that was killed wrote nothing: it has failed once the
# queue does not know it any more. Its word may come later than its end, from another node through
# the shared file system, so there is a time of grace; and a queue that does not answer says nothing.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/queues/${DDCNN_QUEUE:-local}.sh"
folder=$1 grace=${DDCNN_QUEUE_GRACE:-60}

if [[ ! -f $folder/status ]]; then
    state=$(queue_state "$(cat "$folder/number")")
    if [[ $state == unknown && ! -f $folder/missed ]]; then
        date +%s >"$folder/missed"
    elif [[ $state == known ]]; then
        rm -f "$folder/missed"
    fi
    ls "$folder" >/dev/null # asks a file server anew
fi
if [[ -f $folder/status ]]; then
    if (($(<"$folder/status") == 0)); then echo success; else echo failed; fi
elif [[ -f $folder/missed ]] && (($(date +%s) - $(<"$folder/missed") >= grace)); then
    echo failed
else
    echo running
fi
