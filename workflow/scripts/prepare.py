"""Rule prepare: see ddcnn.data.preparation.prepare."""

from ddcnn.base.logs import job

with job(snakemake.log[0]):
    from ddcnn.data.preparation import prepare

    prepare(
        snakemake.params.dataset,
        snakemake.input.manifest,
        snakemake.output.card,
        snakemake.params.folds,
    )
