# One page, one table and the figures of an experiment.


rule report:
    input:
        report_inputs,
    output:
        page=report(
            "results/reports/{experiment}/report.html",
            caption="../report/page.rst",
            category="Page",
            labels={"experiment": "{experiment}", "what": "the whole report on one page"},
        ),
        summary=report(
            "results/reports/{experiment}/summary.csv",
            caption="../report/summary.rst",
            category="Tables",
            labels={"table": "every run and method", "format": "CSV"},
        ),
        comparison=report(
            "results/reports/{experiment}/comparison.csv",
            caption="../report/comparison.rst",
            category="Tables",
            labels={"table": "paired differences", "format": "CSV"},
        ),
        latex=report(
            "results/reports/{experiment}/table.tex",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "mean over the seeds", "format": "LaTeX"},
        ),
        markdown=report(
            "results/reports/{experiment}/table.md",
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "mean over the seeds", "format": "Markdown"},
        ),
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
    threads: 2
    params:
        runs=[f"results/runs/{run.folder}" for run in EXPERIMENT.runs],
        settings=EXPERIMENT.settings,
        code=code_digest("report"),
    message:
        "Writing the report of {wildcards.experiment}"
    script:
        "../scripts/report.py"
