# A run's nets in one file, which predicts without the workflow.


rule bundle:
    input:
        needs("bundle"),
    output:
        **OUTPUTS["bundle"],
    log:
        LOGS["bundle"],
    benchmark:
        BENCHMARKS["bundle"]
    localrule: True
    conda:
        CONDA_ENVIRONMENT
    params:
        folders=of_job(parameters.bundled_folders),
        reading=of_job(parameters.reading),
        trained_by=local_code_of_run,
        code=code_digest("bundle.stage", script="bundle"),
    message:
        "Bundling the nets of {wildcards.dataset}, {wildcards.decomposition}, seed {wildcards.seed} in one file"
    script:
        "../scripts/bundle.py"
