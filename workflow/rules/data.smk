# From the published files to arrays and a data card.


rule download:
    output:
        **OUTPUTS["download"],
    log:
        LOGS["download"],
    benchmark:
        BENCHMARKS["download"]
    localrule: True
    conda:
        CONDA_ENVIRONMENT
    params:
        dataset=of_job(parameters.dataset_entry),
        state=of_job(parameters.own_state),
        code=code_digest("data.preparation", script="download"),
    message:
        "Getting the files of {wildcards.dataset} and verifying their checksums"
    script:
        "../scripts/download.py"


rule prepare:
    input:
        needs("prepare"),
    output:
        **OUTPUTS["prepare"],
    log:
        LOGS["prepare"],
    benchmark:
        BENCHMARKS["prepare"]
    conda:
        CONDA_ENVIRONMENT
    params:
        dataset=of_job(parameters.dataset_entry),
        folds=EXPERIMENT.folds,
        code=code_digest("data.preparation", script="prepare"),
    message:
        "Preparing {wildcards.dataset}: images, labels and data card"
    script:
        "../scripts/prepare.py"
