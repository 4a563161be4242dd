#!/usr/bin/env bash
# snakemake 9.27.1: results whose records are missing pass for those of today's parameters.
#
# One would guess: without its record of what made a file (.snakemake/metadata), Snakemake makes the
# file again, or says that it cannot compare the parameters.
# What happens: a changed parameter lists the job as long as the record is there. Once it is gone
# (results/ was copied without the hidden folder), the same dry run says "Nothing to be done", and
# no word that nothing could be compared.
# Why it matters: results of other settings stand in a report under today's. Keep the records beside
# the results, and refuse results that come without.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install -qq --disable-pip-version-check snakemake==9.27.1

cat > Snakefile <<'RULES'
rule train:
    output: "results/net.txt"
    params: epochs=config["epochs"]
    shell: "echo trained for {params.epochs} epochs > {output}"
RULES

says() {
    venv/bin/snakemake --cores 1 "$@" 2>&1 | grep -oE "Params have changed|Nothing to be done|No metadata|not recorded" | sort -u || true
}

venv/bin/snakemake --cores 1 --quiet all --config epochs=4
{
    echo "record there, epochs 4: $(says --dry-run --config epochs=4)"
    echo "record there, epochs 9: $(says --dry-run --config epochs=9)"
    rm -r .snakemake
    echo "record gone, epochs 9: $(says --dry-run --config epochs=9)"
    says --config epochs=9 >/dev/null
    cat results/net.txt
} | tee seen.txt
cat > expected.txt <<'SEEN'
record there, epochs 4: Nothing to be done
record there, epochs 9: Params have changed
record gone, epochs 9: Nothing to be done
trained for 4 epochs
SEEN
diff expected.txt seen.txt
