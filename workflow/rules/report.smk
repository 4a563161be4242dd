# One page, one table and the figures of an experiment.


rule report:
    input:
        needs("report"),
    output:
        page=report(
            OUTPUTS["report"]["page"],
            caption="../report/page.rst",
            category="Page",
            labels={"experiment": "{experiment}", "what": "the whole report on one page"},
        ),
        summary=report(
            OUTPUTS["report"]["summary"],
            caption="../report/summary.rst",
            category="Tables",
            labels={"table": "every run and method", "format": "CSV"},
        ),
        comparison=report(
            OUTPUTS["report"]["comparison"],
            caption="../report/comparison.rst",
            category="Tables",
            labels={"table": "paired differences", "format": "CSV"},
        ),
        predictions=report(
            OUTPUTS["report"]["predictions"],
            caption="../report/predictions.rst",
            category="Tables",
            labels={"table": "every image's decisions", "format": "CSV"},
        ),
        latex=report(
            OUTPUTS["report"]["latex"],
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "mean over the seeds", "format": "LaTeX"},
        ),
        markdown=report(
            OUTPUTS["report"]["markdown"],
            caption="../report/table.rst",
            category="Tables",
            labels={"table": "mean over the seeds", "format": "Markdown"},
        ),
        settings=OUTPUTS["report"]["settings"],
        merits=OUTPUTS["report"]["merits"],
        figures=report(
            directory(OUTPUTS["report"]["figures"]),
            patterns=["{figure}.svg"],
            caption="../report/figure.rst",
            category="Figures",
            labels={"figure": "{figure}"},
        ),
    log:
        LOGS["report"],
    benchmark:
        BENCHMARKS["report"]
    localrule: True
    conda:
        CONDA_ENVIRONMENT
    threads: 2
    params:
        settings=EXPERIMENT.settings,
        code=code_digest("report", script="report"),
    message:
        "Writing the report of {wildcards.experiment}"
    script:
        "../scripts/report.py"
