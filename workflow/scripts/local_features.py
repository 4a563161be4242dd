"""Rule local_features: see ddcnn.local.stage.write_features."""

from ddcnn.base.logs import importing, job

with job(snakemake.log[0]):
    with importing():
        from ddcnn.experiment.paths import TILES
        from ddcnn.local.stage import write_features
        from ddcnn.local.subdomain import Subdomain

    write_features(
        Subdomain(tile=snakemake.wildcards.tile, **snakemake.params.net),
        tiles=TILES,
        card=snakemake.input.card,
        weights=snakemake.input.model,
        out=snakemake.output.features,
        gpus=snakemake.resources.gpu,
        threads=snakemake.threads,
    )
