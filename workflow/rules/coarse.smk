# The coarse solve, the trainings as one model, and every method's decisions.


rule train_coarse:
    input:
        held_out_inputs,
        combined_features,
        probabilities=combined_inputs,
        labels=expand("results/data/{{dataset}}/y_{split}.npy", split=["train", "val"]),
        card="results/data/{dataset}/card.json",
    output:
        model="results/runs/{dataset}/{model}/{decomposition}/seed{seed}/{combination}/model.safetensors",
        history="results/runs/{dataset}/{model}/{decomposition}/seed{seed}/{combination}/history.csv",
        metrics="results/runs/{dataset}/{model}/{decomposition}/seed{seed}/{combination}/metrics.json",
        probabilities="results/runs/{dataset}/{model}/{decomposition}/seed{seed}/{combination}/probabilities.npz",
    log:
        "logs/train_coarse/{dataset}/{model}/{decomposition}/seed{seed}/{combination}.log",
    benchmark:
        "results/benchmarks/train_coarse/{dataset}/{model}/{decomposition}/seed{seed}/{combination}.tsv"
    conda:
        CONDA_ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
    params:
        names=combined_names,
        coarse=coarse_net(),
        num_folds=EXPERIMENT.num_folds,
        settings=coarse_settings(),
        code=code_digest("coarse.stage"),
    message:
        "Training the coarse net of {wildcards.dataset}, {wildcards.decomposition}, seed {wildcards.seed} ({wildcards.combination})"
    script:
        "../scripts/train_coarse.py"


rule train_coherent:
    input:
        images=expand("results/data/{{dataset}}/x_{split}.npy", split=SPLITS),
        labels=expand("results/data/{{dataset}}/y_{split}.npy", split=["train", "val"]),
        card="results/data/{dataset}/card.json",
        trained=trained_inputs,
    output:
        model="results/runs/{dataset}/{model}/{decomposition}/seed{seed}/{start}/model.safetensors",
        history="results/runs/{dataset}/{model}/{decomposition}/seed{seed}/{start}/history.csv",
        metrics="results/runs/{dataset}/{model}/{decomposition}/seed{seed}/{start}/metrics.json",
        probabilities="results/runs/{dataset}/{model}/{decomposition}/seed{seed}/{start}/probabilities.npz",
    log:
        "logs/train_coherent/{dataset}/{model}/{decomposition}/seed{seed}/{start}.log",
    benchmark:
        "results/benchmarks/train_coherent/{dataset}/{model}/{decomposition}/seed{seed}/{start}.tsv"
    conda:
        CONDA_ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
    params:
        subdomains=subdomains_parameters,
        tiling=run_tiling,
        coarse=joint_coarse_net(),
        settings=joint_settings,
        code=joint_code,
    message:
        "Training all nets of {wildcards.dataset}, {wildcards.decomposition}, seed {wildcards.seed} as one ({wildcards.start})"
    script:
        "../scripts/train_coherent.py"


rule evaluate:
    input:
        trained_files,
        plan=plan_input,
        labels=expand("results/data/{{dataset}}/y_{split}.npy", split=SPLITS),
        card="results/data/{dataset}/card.json",
    output:
        evaluation="results/runs/{dataset}/{model}/{decomposition}/seed{seed}/evaluation.json",
        predictions="results/runs/{dataset}/{model}/{decomposition}/seed{seed}/predictions.npz",
    log:
        "logs/evaluate/{dataset}/{model}/{decomposition}/seed{seed}.log",
    benchmark:
        "results/benchmarks/evaluate/{dataset}/{model}/{decomposition}/seed{seed}.tsv"
    conda:
        CONDA_ENVIRONMENT
    params:
        run=run_parameters,
        methods=methods_parameters,
        fit_on=EXPERIMENT.settings["coarse"]["fit_on"],
        trained=trained_folders,
        code=code_digest("evaluation.stage"),
    message:
        "Comparing the methods on {wildcards.dataset}, {wildcards.decomposition}, seed {wildcards.seed}"
    script:
        "../scripts/evaluate.py"
