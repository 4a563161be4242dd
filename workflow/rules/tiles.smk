# Cut the images: one contiguous file per subdomain and split.


rule tile:
    input:
        expand("results/data/{{dataset}}/x_{split}.npy", split=SPLITS),
    output:
        plan="results/tiles/{dataset}/{tiling}/plan.json",
    log:
        "logs/tile/{dataset}/{tiling}.log",
    benchmark:
        "results/benchmarks/tile/{dataset}/{tiling}.tsv"
    priority: AWAITED
    conda:
        CONDA_ENVIRONMENT
    params:
        tiling=tiling_parameters,
        code=code_digest("tiles.shards"),
    message:
        "Cutting the images of {wildcards.dataset} into tiles: {wildcards.tiling}"
    script:
        "../scripts/tile.py"


rule coarse_view:
    input:
        expand("results/data/{{dataset}}/x_{split}.npy", split=SPLITS),
        plan="results/tiles/{dataset}/{tiling}/plan.json",
    output:
        expand("results/tiles/{{dataset}}/{{tiling}}/view/x_{split}.npy", split=SPLITS),
        checksums="results/tiles/{dataset}/{tiling}/view/shards.json",
    log:
        "logs/coarse_view/{dataset}/{tiling}.log",
    benchmark:
        "results/benchmarks/coarse_view/{dataset}/{tiling}.tsv"
    priority: AWAITED
    conda:
        CONDA_ENVIRONMENT
    params:
        code=code_digest("tiles.shards"),
    message:
        "Resampling the images of {wildcards.dataset} to the tiles of {wildcards.tiling}"
    script:
        "../scripts/coarse_view.py"
