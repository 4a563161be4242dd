"""Rule train_local: see ddcnn.local.stage, and for lda ddcnn.local.closed_form."""

from pathlib import Path

from ddcnn.base.logs import importing, job

with job(snakemake.log[0]):
    with importing():
        from ddcnn.base.splits import FITTING
        from ddcnn.experiment.paths import TILES
        from ddcnn.local.subdomain import Subdomain, trainer_of

        trainer = trainer_of(snakemake.params.net["architecture"])

    folders = [Path(file).parent for file in snakemake.output.model]
    trainer.train_local(
        [Subdomain(tile=folder.name, **snakemake.params.net) for folder in folders],
        tiles=TILES,
        labels=dict(zip(FITTING, snakemake.input.labels, strict=True)),
        card=snakemake.input.card,
        settings=trainer.SETTINGS(**snakemake.params.settings),
        out=folders,
        gpus=snakemake.resources.gpu,
        threads=snakemake.threads,
        code=snakemake.params.code,
        refit=snakemake.params.refit,
        checkpoint_seconds=snakemake.config["local"]["checkpoint_seconds"],
    )
