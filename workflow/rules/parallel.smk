# The other ways of parallel training: the global net by several workers, who talk in every step.


rule train_parallel:
    input:
        needs("train_parallel"),
    output:
        **OUTPUTS["train_parallel"],
    log:
        LOGS["train_parallel"],
    benchmark:
        BENCHMARKS["train_parallel"]
    conda:
        CONDA_ENVIRONMENT
    threads: workers_of
    resources:
        gpu=lambda wildcards: gpus_of(EXPERIMENT, "train_parallel") * workers_of(wildcards),
    params:
        net=of_job(parameters.whole_image),
        settings=of_job(parameters.local_settings),
        code=parallel_code,
    message:
        "Training {wildcards.model} on {wildcards.dataset}, seed {wildcards.seed}, by {wildcards.workers} workers: {wildcards.way}"
    script:
        "../scripts/train_parallel.py"
