"""Rule evaluate: see ddcnn.evaluation.stage.evaluate_run."""

from pathlib import Path

from ddcnn.base.logs import importing, job

with job(snakemake.log[0]):
    with importing():
        from ddcnn.base.splits import SPLITS
        from ddcnn.evaluation.stage import Trained, evaluate_run

    evaluate_run(
        run=snakemake.params.run,
        methods=snakemake.params.methods,
        trained=Trained.of(snakemake.params.trained),
        plan=snakemake.input.plan,
        labels=dict(zip(SPLITS, snakemake.input.labels, strict=True)),
        card=snakemake.input.card,
        out=Path(snakemake.output.evaluation).parent,
    )
