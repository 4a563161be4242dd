"""Rule train_coherent: see ddcnn.coherent.train_coherent."""

from pathlib import Path

from ddcnn.logs import importing, job

with job(snakemake.log[0]):
    with importing():
        from ddcnn.coherent import train_coherent
        from ddcnn.local import Subdomain
        from ddcnn.models.coarse_settings import CoarseSettings
        from ddcnn.tiles import Tiling
        from ddcnn.training import Settings

    train_coherent(
        subdomains=[Subdomain(**subdomain) for subdomain in snakemake.params.subdomains],
        tiling=Tiling(**snakemake.params.tiling),
        images=dict(zip(["train", "val", "test"], snakemake.input.images, strict=True)),
        labels=dict(zip(["train", "val"], snakemake.input.labels, strict=True)),
        card=snakemake.input.card,
        coarse=CoarseSettings(**snakemake.params.coarse),
        settings=Settings(**snakemake.params.settings),
        trained=[Path(file) for file in snakemake.input.trained],
        out=Path(snakemake.output.model).parent,
        gpus=snakemake.resources.gpu,
        threads=snakemake.threads,
        code=snakemake.params.code,
    )
