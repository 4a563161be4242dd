# The subdomain solves: one job per tile, no communication. The global net is the tiling "whole".


rule train_local:
    input:
        shard_inputs,
        labels=expand("results/data/{{dataset}}/y_{split}.npy", split=["train", "val"]),
        card="results/data/{dataset}/card.json",
    output:
        model="results/local/{dataset}/{model}/{tiling}/seed{seed}/{tile}/model.safetensors",
        history="results/local/{dataset}/{model}/{tiling}/seed{seed}/{tile}/history.csv",
        metrics="results/local/{dataset}/{model}/{tiling}/seed{seed}/{tile}/metrics.json",
    log:
        "logs/train_local/{dataset}/{model}/{tiling}/seed{seed}/{tile}.log",
    benchmark:
        "results/benchmarks/train_local/{dataset}/{model}/{tiling}/seed{seed}/{tile}.tsv"
    conda:
        CONDA_ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
    params:
        subdomain=subdomain_parameters,
        settings=local_settings(),
        code=local_code,
    message:
        "Training {wildcards.model} on {wildcards.dataset}, {wildcards.tiling}, tile {wildcards.tile}, seed {wildcards.seed}"
    script:
        "../scripts/train_local.py"


rule local_probabilities:
    input:
        shard_inputs,
        model="results/local/{dataset}/{model}/{tiling}/seed{seed}/{tile}/model.safetensors",
        card="results/data/{dataset}/card.json",
    output:
        probabilities="results/local/{dataset}/{model}/{tiling}/seed{seed}/{tile}/probabilities.npz",
    log:
        "logs/local_probabilities/{dataset}/{model}/{tiling}/seed{seed}/{tile}.log",
    benchmark:
        "results/benchmarks/local_probabilities/{dataset}/{model}/{tiling}/seed{seed}/{tile}.tsv"
    conda:
        CONDA_ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
    params:
        subdomain=subdomain_parameters,
        coarse_input=EXPERIMENT.settings["coarse"]["input"],
        code=local_code,
    message:
        "Local probabilities of {wildcards.dataset}, {wildcards.tiling}, tile {wildcards.tile}, seed {wildcards.seed}"
    script:
        "../scripts/local_probabilities.py"


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
        subdomain=subdomain_parameters,
        settings=local_settings(),
        num_folds=EXPERIMENT.settings["coarse"]["folds"],
        coarse_input=EXPERIMENT.settings["coarse"]["input"],
        code=local_code,
    message:
        "Training {wildcards.model} on {wildcards.dataset}, {wildcards.tiling}, tile {wildcards.tile}, seed {wildcards.seed}, without fold {wildcards.fold}"
    script:
        "../scripts/train_fold.py"
