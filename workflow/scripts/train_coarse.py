"""Rule train_coarse: see ddcnn.coarse.train_coarse."""

from pathlib import Path

from ddcnn.logs import log_to

with log_to(snakemake.log[0]):
    from ddcnn.coarse import train_coarse
    from ddcnn.training import Settings

    train_coarse(
        probabilities=dict(zip(snakemake.params.tiles, snakemake.input.probabilities, strict=True)),
        labels=dict(zip(["train", "val"], snakemake.input.labels, strict=True)),
        settings=Settings(**snakemake.params.settings),
        hidden=snakemake.params.hidden,
        dropout=snakemake.params.dropout,
        fit_on=snakemake.params.fit_on,
        seed=int(snakemake.wildcards.seed),
        out=Path(snakemake.output.model).parent,
        gpus=snakemake.resources.gpu,
        threads=snakemake.threads,
    )
