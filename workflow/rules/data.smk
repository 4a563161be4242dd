# From the published files to arrays and a data card.


rule download:
    output:
        manifest="results/data/{dataset}/raw/manifest.json",
    log:
        "logs/download/{dataset}.log",
    benchmark:
        "results/benchmarks/download/{dataset}.tsv"
    conda:
        CONDA_ENVIRONMENT
    params:
        dataset=dataset_entry,
        state=own_state,
        code=code_digest("data.preparation"),
    message:
        "Getting the files of {wildcards.dataset} and verifying their checksums"
    script:
        "../scripts/download.py"


rule prepare:
    input:
        manifest="results/data/{dataset}/raw/manifest.json",
    output:
        images=expand("results/data/{{dataset}}/x_{split}.npy", split=SPLITS),
        labels=expand("results/data/{{dataset}}/y_{split}.npy", split=SPLITS),
        card="results/data/{dataset}/card.json",
    log:
        "logs/prepare/{dataset}.log",
    benchmark:
        "results/benchmarks/prepare/{dataset}.tsv"
    conda:
        CONDA_ENVIRONMENT
    params:
        dataset=dataset_entry,
        code=code_digest("data.preparation"),
    message:
        "Preparing {wildcards.dataset}: images, labels and data card"
    script:
        "../scripts/prepare.py"
