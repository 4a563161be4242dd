"""Rule train_coarse: see ddcnn.coarse.stage.train_coarse."""

from pathlib import Path

from ddcnn.base.logs import importing, job

with job(snakemake.log[0]):
    with importing():
        from ddcnn.base.splits import FITTING
        from ddcnn.coarse.settings import CoarseSettings
        from ddcnn.coarse.stage import train_coarse
        from ddcnn.experiment.paths import seed_of
        from ddcnn.training.settings import Settings

    train_coarse(
        local=dict(zip(snakemake.params.names, snakemake.input.probabilities, strict=True)),
        labels=dict(zip(FITTING, snakemake.input.labels, strict=True)),
        card=snakemake.input.card,
        coarse=CoarseSettings(**snakemake.params.coarse),
        settings=Settings(**snakemake.params.settings),
        num_folds=snakemake.params.num_folds,
        seed=seed_of(snakemake.wildcards),
        out=Path(snakemake.output.model).parent,
        gpus=snakemake.resources.gpu,
        threads=snakemake.threads,
    )
