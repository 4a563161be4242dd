# The subdomain solves: no communication between jobs. The global net is the tiling "whole".


# One rule for single tiles; with tiles_per_job also one for each pack of tiles.
for NAME, LOCAL in LOCAL_RULES.items():

    rule:
        name:
            NAME
        input:
            needs("train_local"),
        output:
            **LOCAL.outputs,
        log:
            LOCAL.log,
        benchmark:
            LOCAL.benchmark
        wildcard_constraints:
            tiling=LOCAL.tiling,
            tile=LOCAL.tile,
        priority: LOCAL.priority
        conda:
            CONDA_ENVIRONMENT
        threads: LOCAL_THREADS
        resources:
            **LOCAL_RESOURCES,
        params:
            net=of_job(parameters.net),
            settings=of_job(parameters.local_settings),
            refit=EXPERIMENT.settings["refit"],
            code=local_code("train_local"),
        message:
            f"Training {{wildcards.model}} on {{wildcards.dataset}}, {{wildcards.tiling}}, tile {LOCAL.words}, seed {{wildcards.seed}}"
        script:
            "../scripts/train_local.py"


rule local_features:
    input:
        needs("local_features"),
    output:
        **OUTPUTS["local_features"],
    log:
        LOGS["local_features"],
    benchmark:
        BENCHMARKS["local_features"]
    conda:
        CONDA_ENVIRONMENT
    threads: 1
    resources:
        gpu=gpus_of(EXPERIMENT, "local_features"),
    params:
        net=of_job(parameters.net),
        code=local_code("local_features"),
    message:
        "What the last layer sees of {wildcards.dataset}, {wildcards.tiling}, tile {wildcards.tile}, seed {wildcards.seed}"
    script:
        "../scripts/local_features.py"


rule train_fold:
    input:
        needs("train_fold"),
    output:
        **OUTPUTS["train_fold"],
    log:
        LOGS["train_fold"],
    benchmark:
        BENCHMARKS["train_fold"]
    conda:
        CONDA_ENVIRONMENT
    threads: 1
    resources:
        gpu=gpus_of(EXPERIMENT, "train_fold"),
    params:
        net=of_job(parameters.net),
        settings=of_job(parameters.local_settings),
        num_folds=EXPERIMENT.settings["coarse"]["folds"],
        coarse_input=EXPERIMENT.settings["coarse"]["input"],
        code=local_code("train_fold"),
    message:
        "Training {wildcards.model} on {wildcards.dataset}, {wildcards.tiling}, tile {wildcards.tile}, seed {wildcards.seed}, without fold {wildcards.fold}"
    script:
        "../scripts/train_fold.py"
