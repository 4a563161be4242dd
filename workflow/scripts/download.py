"""Rule download: see ddcnn.data.download."""

from ddcnn.logs import job

with job(snakemake.log[0]):
    from ddcnn.data import download

    download(snakemake.params.dataset, snakemake.output.manifest)
