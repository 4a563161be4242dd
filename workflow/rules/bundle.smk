# A run's nets in one file, which predicts without the workflow.


rule bundle:
    input:
        bundled_files,
        plan=plan_input,
        card="results/data/{dataset}/card.json",
        evaluation="results/runs/{dataset}/{model}/{decomposition}/seed{seed}/evaluation.json",
        predictions="results/runs/{dataset}/{model}/{decomposition}/seed{seed}/predictions.npz",
    output:
        model="results/runs/{dataset}/{model}/{decomposition}/seed{seed}/ddcnn.safetensors",
        card="results/runs/{dataset}/{model}/{decomposition}/seed{seed}/ddcnn.md",
    log:
        "logs/bundle/{dataset}/{model}/{decomposition}/seed{seed}.log",
    benchmark:
        "results/benchmarks/bundle/{dataset}/{model}/{decomposition}/seed{seed}.tsv"
    conda:
        CONDA_ENVIRONMENT
    params:
        folders=bundled_folders,
        reading=reading_parameters,
        trained_by=local_code_of_run,
        code=code_digest("bundle.stage"),
    message:
        "Bundling the nets of {wildcards.dataset}, {wildcards.decomposition}, seed {wildcards.seed} in one file"
    script:
        "../scripts/bundle.py"
