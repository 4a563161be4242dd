#!/usr/bin/env bash
# Submits a job: submit.sh RULE THREADS MEGABYTES MINUTES GPUS SCRIPT. Prints the folder by which
# status.sh and cancel.sh know it.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/queues/${DDCNN_QUEUE:-local}.sh"

mkdir -p .snakemake/cluster-generic
folder=$(mktemp -d "$PWD/.snakemake/cluster-generic/$1.XXXXXX")
# A copy: the queue may start it when Snakemake has ended and removed its own.
cp "$6" "$folder/snakemake.sh"
cat >"$folder/job.sh" <<'JOB'
#!/usr/bin/env bash
# SIGTERM is for the job's other processes, whose end is written down here.
trap : TERM
bash "$FOLDER/snakemake.sh"
status=$?
echo "$status" >"$FOLDER/status.part"
mv "$FOLDER/status.part" "$FOLDER/status"
exit "$status"
JOB
sed -i "2i FOLDER=$(printf %q "$folder")" "$folder/job.sh"
queue_submit "$folder/job.sh" "$folder/log" "${@:2:4}" >"$folder/number"
echo "$folder"
