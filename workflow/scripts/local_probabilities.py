"""Rule local_probabilities: see ddcnn.local.write_probabilities."""

from pathlib import Path

from ddcnn.logs import log_to

with log_to(snakemake.log[0]):
    from ddcnn.local import Subdomain, write_probabilities

    subdomain = Subdomain(**snakemake.params.subdomain)
    write_probabilities(
        subdomain,
        shards=subdomain.shards(Path("results/tiles")),
        card=snakemake.input.card,
        weights=snakemake.input.model,
        coarse_input=snakemake.params.coarse_input,
        out=snakemake.output.probabilities,
        gpus=snakemake.resources.gpu,
        threads=snakemake.threads,
    )
