"""Rule report: see ddcnn.report.write_report."""

from pathlib import Path

from ddcnn.base.logs import job

with job(snakemake.log[0]):
    from ddcnn.report import write_report

    write_report(
        snakemake.wildcards.experiment,
        runs=[Path(folder) for folder in snakemake.params.runs],
        results=Path("results"),
        settings=snakemake.params.settings,
        out=Path(snakemake.output.page).parent,
        processes=snakemake.threads,
    )
