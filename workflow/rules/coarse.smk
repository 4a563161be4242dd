# The coarse solve, and every method's decisions.


rule train_coarse:
    input:
        probabilities=local_probabilities_inputs,
        labels=expand("results/data/{{dataset}}/y_{split}.npy", split=["train", "val"]),
    output:
        model="results/runs/{dataset}/{model}/{decomposition}/seed{seed}/coarse/model.safetensors",
        history="results/runs/{dataset}/{model}/{decomposition}/seed{seed}/coarse/history.csv",
        metrics="results/runs/{dataset}/{model}/{decomposition}/seed{seed}/coarse/metrics.json",
        probabilities="results/runs/{dataset}/{model}/{decomposition}/seed{seed}/coarse/probabilities.npz",
    log:
        "logs/train_coarse/{dataset}/{model}/{decomposition}/seed{seed}.log",
    benchmark:
        "results/benchmarks/train_coarse/{dataset}/{model}/{decomposition}/seed{seed}.tsv"
    conda:
        CONDA_ENVIRONMENT
    threads: 1
    resources:
        gpu=1,
    params:
        tiles=tiles_of,
        settings=coarse_settings(),
        hidden=EXPERIMENT.settings["coarse"]["hidden"],
        dropout=EXPERIMENT.settings["coarse"]["dropout"],
        fit_on=EXPERIMENT.settings["coarse"]["fit_on"],
        code=code_digest("coarse"),
    message:
        "Training the coarse net of {wildcards.dataset}, {wildcards.decomposition}, seed {wildcards.seed}"
    script:
        "../scripts/train_coarse.py"


rule evaluate:
    input:
        coarse=coarse_inputs,
        global_net=global_inputs,
        probabilities=local_probabilities_inputs,
        metrics=local_metrics_inputs,
        plan=plan_input,
        labels=expand("results/data/{{dataset}}/y_{split}.npy", split=["val", "test"]),
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
        tiles=tiles_of,
        code=code_digest("runs"),
    message:
        "Comparing the methods on {wildcards.dataset}, {wildcards.decomposition}, seed {wildcards.seed}"
    script:
        "../scripts/evaluate.py"
