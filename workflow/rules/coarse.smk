# The coarse solve, and the trainings as one model.


rule train_coarse:
    input:
        needs("train_coarse"),
    output:
        **OUTPUTS["train_coarse"],
    log:
        LOGS["train_coarse"],
    benchmark:
        BENCHMARKS["train_coarse"]
    conda:
        CONDA_ENVIRONMENT
    threads: 1
    resources:
        gpu=gpus_of(EXPERIMENT, "train_coarse"),
    params:
        names=of_job(parameters.combined_names),
        coarse=parameters.coarse_net(EXPERIMENT),
        num_folds=EXPERIMENT.num_folds,
        settings=parameters.coarse_settings(EXPERIMENT),
        code=code_digest("coarse.stage", script="train_coarse"),
    message:
        "Training the coarse net of {wildcards.dataset}, {wildcards.decomposition}, seed {wildcards.seed} ({wildcards.combination})"
    script:
        "../scripts/train_coarse.py"


rule train_coherent:
    input:
        needs("train_coherent"),
    output:
        **OUTPUTS["train_coherent"],
    log:
        LOGS["train_coherent"],
    benchmark:
        BENCHMARKS["train_coherent"]
    conda:
        CONDA_ENVIRONMENT
    threads: 1
    resources:
        gpu=gpus_of(EXPERIMENT, "train_coherent"),
    params:
        subdomains=of_job(parameters.subdomains),
        tiling=of_job(parameters.tiling_of_run),
        coarse=parameters.joint_coarse_net(EXPERIMENT),
        settings=of_job(parameters.joint_settings),
        code=joint_code,
    message:
        "Training all nets of {wildcards.dataset}, {wildcards.decomposition}, seed {wildcards.seed} as one ({wildcards.start})"
    script:
        "../scripts/train_coherent.py"
