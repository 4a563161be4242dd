"""Rule bundle: see ddcnn.bundle.stage.bundle_run."""

from pathlib import Path

from ddcnn.base.logs import job

with job(snakemake.log[0]):
    from ddcnn.bundle.stage import bundle_run

    bundle_run(
        **snakemake.params.folders,
        plan=snakemake.input.plan,
        card=snakemake.input.card,
        run=Path(snakemake.input.evaluation).parent,
        pooled=snakemake.input.pooled,
        reading=snakemake.params.reading,
        code=snakemake.params.trained_by,
        out=snakemake.output.model,
    )
