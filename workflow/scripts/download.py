"""Rule download: see ddcnn.data.download."""

from ddcnn.logs import log_to

with log_to(snakemake.log[0]):
    from ddcnn.data import download

    download(snakemake.params.dataset, snakemake.output.manifest)
