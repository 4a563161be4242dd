"""Rule prepare: see ddcnn.data.prepare."""

from ddcnn.logs import job

with job(snakemake.log[0]):
    from ddcnn.data import prepare

    prepare(snakemake.params.dataset, snakemake.input.manifest, snakemake.output.card)
