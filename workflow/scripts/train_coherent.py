"""Rule train_coherent: see ddcnn.coarse.joint.train_coherent."""

from pathlib import Path

from ddcnn.base.logs import importing, job

with job(snakemake.log[0]):
    with importing():
        from ddcnn.base.splits import FITTING, by_part
        from ddcnn.coarse.joint import train_coherent
        from ddcnn.coarse.settings import CoarseSettings
        from ddcnn.local.subdomain import Subdomain
        from ddcnn.tiles.geometry import Tiling
        from ddcnn.training.settings import Settings

    train_coherent(
        subdomains=[Subdomain(**subdomain) for subdomain in snakemake.params.subdomains],
        tiling=Tiling(**snakemake.params.tiling),
        images=by_part(snakemake.input.images),
        labels=dict(zip(FITTING, snakemake.input.labels, strict=True)),
        card=snakemake.input.card,
        coarse=CoarseSettings(**snakemake.params.coarse),
        settings=Settings(**snakemake.params.settings),
        trained=[Path(file) for file in snakemake.input.trained],
        out=Path(snakemake.output.model).parent,
        gpus=snakemake.resources.gpu,
        threads=snakemake.threads,
        code=snakemake.params.code,
        checkpoint_seconds=snakemake.config["local"]["checkpoint_seconds"],
    )
