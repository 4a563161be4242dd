# One page, one table and the figures of an experiment.


rule report:
    input:
        report_inputs,
    output:
        page=report(
            "results/reports/{experiment}/report.html",
            caption="../report/page.rst",
            category="Report",
        ),
        summary=report(
            "results/reports/{experiment}/summary.csv",
            caption="../report/summary.rst",
            category="Table",
        ),
        comparison=report(
            "results/reports/{experiment}/comparison.csv",
            caption="../report/comparison.rst",
            category="Table",
        ),
        latex="results/reports/{experiment}/table.tex",
        markdown="results/reports/{experiment}/table.md",
        settings="results/reports/{experiment}/settings.json",
        merits="results/reports/{experiment}/merits.npz",
        figures=report(
            directory("results/reports/{experiment}/figures"),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        "logs/report/{experiment}.log",
    benchmark:
        "results/benchmarks/report/{experiment}.tsv"
    conda:
        CONDA_ENVIRONMENT
    params:
        runs=[f"results/runs/{run.folder}" for run in EXPERIMENT.runs],
        settings=EXPERIMENT.settings,
        code=code_digest("report"),
    message:
        "Writing the report of {wildcards.experiment}"
    script:
        "../scripts/report.py"
