"""Rule train_parallel: see ddcnn.parallel.stage."""

from pathlib import Path

from ddcnn.base.logs import importing, job

with job(snakemake.log[0]):
    with importing():
        from ddcnn.base.splits import FITTING
        from ddcnn.experiment.paths import TILES
        from ddcnn.local.subdomain import Subdomain
        from ddcnn.parallel.stage import SharedTraining, train_parallel
        from ddcnn.training.settings import Settings

    train_parallel(
        SharedTraining(
            Subdomain(**snakemake.params.net),
            tiles=TILES,
            labels=dict(zip(FITTING, snakemake.input.labels, strict=True)),
            card=Path(snakemake.input.card),
            settings=Settings(**snakemake.params.settings),
            out=Path(snakemake.output.model).parent,
            way=snakemake.wildcards.way,
            workers=int(snakemake.wildcards.workers),
            gpus=snakemake.resources.gpu,
            threads=snakemake.threads,
            tasks=snakemake.resources.get("tasks", 1),
            code=snakemake.params.code,
            checkpoint_seconds=snakemake.config["local"]["checkpoint_seconds"],
        )
    )
