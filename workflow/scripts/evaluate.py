"""Rule evaluate: see ddcnn.runs.evaluate_run."""

from pathlib import Path

from ddcnn.logs import log_to

with log_to(snakemake.log[0]):
    from ddcnn.runs import evaluate_run

    folders = [Path(file).parent for file in snakemake.input.metrics]
    evaluate_run(
        run=snakemake.params.run,
        local=dict(zip(snakemake.params.tiles, folders, strict=True)),
        coarse=Path(snakemake.input.coarse[0]).parent if snakemake.input.coarse else None,
        global_net=Path(snakemake.input.global_net[0]).parent
        if snakemake.input.global_net
        else None,
        plan=snakemake.input.plan,
        labels=dict(zip(["val", "test"], snakemake.input.labels, strict=True)),
        card=snakemake.input.card,
        out=Path(snakemake.output.evaluation).parent,
    )
