"""Rule report: see ddcnn.report.write_report."""

from pathlib import Path

from ddcnn.base.logs import job

with job(snakemake.log[0]):
    from ddcnn.experiment.paths import RESULTS
    from ddcnn.experiment.runs import experiment_of
    from ddcnn.report import write_report

    write_report(
        experiment_of(snakemake.params.settings),
        results=Path(RESULTS),
        out=Path(snakemake.output.page).parent,
        processes=snakemake.threads,
    )
