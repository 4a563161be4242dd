"""Rule train_fold: see ddcnn.local.stage, and for lda ddcnn.local.closed_form."""

from pathlib import Path

from ddcnn.base.logs import importing, job

with job(snakemake.log[0]):
    with importing():
        from ddcnn.base.splits import FITTING
        from ddcnn.experiment.paths import TILES
        from ddcnn.local.subdomain import Subdomain, trainer_of

        trainer = trainer_of(snakemake.params.net["architecture"])

    subdomain = Subdomain(tile=snakemake.wildcards.tile, **snakemake.params.net)
    trainer.train_fold(
        subdomain,
        fold=int(snakemake.wildcards.fold),
        num_folds=snakemake.params.num_folds,
        tiles=TILES,
        labels=dict(zip(FITTING, snakemake.input.labels, strict=True)),
        card=snakemake.input.card,
        listing=snakemake.input.samples,
        settings=trainer.SETTINGS(**snakemake.params.settings),
        coarse_input=snakemake.params.coarse_input,
        out=Path(snakemake.output.held_out).parent,
        gpus=snakemake.resources.gpu,
        threads=snakemake.threads,
        code=snakemake.params.code,
        checkpoint_seconds=snakemake.config["local"]["checkpoint_seconds"],
    )
