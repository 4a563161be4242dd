# The subdomain solves: no communication between jobs. The global net is the tiling "whole".


# One rule for single tiles; with tiles_per_job also one for each pack of tiles.
for NAME, LOCAL in LOCAL_RULES.items():

    rule:
        name:
            NAME
        input:
            shard_inputs,
            labels=expand("results/data/{{dataset}}/y_{split}.npy", split=["train", "val"]),
            card="results/data/{dataset}/card.json",
        output:
            model=net_files(LOCAL.pack, "model.safetensors"),
            history=net_files(LOCAL.pack, "history.csv"),
            metrics=net_files(LOCAL.pack, "metrics.json"),
            probabilities=net_files(LOCAL.pack, "probabilities.npz"),
        log:
            f"logs/train_local/{{dataset}}/{{model}}/{{tiling}}/seed{{seed}}/{LOCAL.pack.name}.log",
        benchmark:
            f"results/benchmarks/train_local/{{dataset}}/{{model}}/{{tiling}}/seed{{seed}}/{LOCAL.pack.name}.tsv"
        wildcard_constraints:
            tiling=LOCAL.tiling,
            tile=LOCAL.tile,
        priority: LOCAL.priority
        conda:
            CONDA_ENVIRONMENT
        threads: 1
        resources:
            gpu=1,
        params:
            net=net_parameters,
            settings=local_settings(),
            code=local_code,
        message:
            f"Training {{wildcards.model}} on {{wildcards.dataset}}, {{wildcards.tiling}}, tile {LOCAL.pack.words}, seed {{wildcards.seed}}"
        script:
            "../scripts/train_local.py"


rule local_features:
    input:
        shard_inputs,
        model="results/local/{dataset}/{model}/{tiling}/seed{seed}/{tile}/model.safetensors",
        card="results/data/{dataset}/card.json",
    output:
        features="results/local/{dataset}/{model}/{tiling}/seed{seed}/{tile}/features.npz",
    log:
        "logs/local_features/{dataset}/{model}/{tiling}/seed{seed}/{tile}.log",
    benchmark:
        "results/benchmarks/local_features/{dataset}/{model}/{tiling}/seed{seed}/{tile}.tsv"
    conda:
        CONDA_ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
    params:
        net=net_parameters,
        code=local_code,
    message:
        "What the last layer sees of {wildcards.dataset}, {wildcards.tiling}, tile {wildcards.tile}, seed {wildcards.seed}"
    script:
        "../scripts/local_features.py"


rule train_fold:
    input:
        shard_inputs,
        labels=expand("results/data/{{dataset}}/y_{split}.npy", split=["train", "val"]),
        card="results/data/{dataset}/card.json",
    output:
        held_out="results/local/{dataset}/{model}/{tiling}/seed{seed}/{tile}/fold{fold}/held_out.npz",
        metrics="results/local/{dataset}/{model}/{tiling}/seed{seed}/{tile}/fold{fold}/metrics.json",
    log:
        "logs/train_fold/{dataset}/{model}/{tiling}/seed{seed}/{tile}/fold{fold}.log",
    benchmark:
        "results/benchmarks/train_fold/{dataset}/{model}/{tiling}/seed{seed}/{tile}/fold{fold}.tsv"
    conda:
        CONDA_ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
    params:
        net=net_parameters,
        settings=local_settings(),
        num_folds=EXPERIMENT.settings["coarse"]["folds"],
        coarse_input=EXPERIMENT.settings["coarse"]["input"],
        code=local_code,
    message:
        "Training {wildcards.model} on {wildcards.dataset}, {wildcards.tiling}, tile {wildcards.tile}, seed {wildcards.seed}, without fold {wildcards.fold}"
    script:
        "../scripts/train_fold.py"
