"""Rule download: see ddcnn.data.preparation.download."""

from ddcnn.base.logs import job

with job(snakemake.log[0]):
    from ddcnn.data.preparation import download

    download(snakemake.params.dataset, snakemake.output.manifest)
