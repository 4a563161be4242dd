# Every method's decisions, scores and times, run by run.


rule evaluate:
    input:
        needs("evaluate"),
    output:
        **OUTPUTS["evaluate"],
    log:
        LOGS["evaluate"],
    benchmark:
        BENCHMARKS["evaluate"]
    localrule: True
    conda:
        CONDA_ENVIRONMENT
    params:
        run=of_job(parameters.evaluated_run),
        methods=of_job(parameters.methods),
        trained=of_job(parameters.trained_folders),
        code=code_digest("evaluation.stage", script="evaluate"),
    message:
        "Comparing the methods on {wildcards.dataset}, {wildcards.decomposition}, seed {wildcards.seed}"
    script:
        "../scripts/evaluate.py"
