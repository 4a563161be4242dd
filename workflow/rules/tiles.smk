# Cut the images: one contiguous file per subdomain and split.


rule tile:
    input:
        needs("tile"),
    output:
        **OUTPUTS["tile"],
    log:
        LOGS["tile"],
    benchmark:
        BENCHMARKS["tile"]
    priority: AWAITED
    conda:
        CONDA_ENVIRONMENT
    params:
        tiling=of_job(parameters.tiling),
        code=code_digest("tiles.shards", script="tile"),
    message:
        "Cutting the images of {wildcards.dataset} into tiles: {wildcards.tiling}"
    script:
        "../scripts/tile.py"


rule coarse_view:
    input:
        needs("coarse_view"),
    output:
        **OUTPUTS["coarse_view"],
    log:
        LOGS["coarse_view"],
    benchmark:
        BENCHMARKS["coarse_view"]
    priority: AWAITED
    conda:
        CONDA_ENVIRONMENT
    params:
        code=code_digest("tiles.shards", script="coarse_view"),
    message:
        "Resampling the images of {wildcards.dataset} to the tiles of {wildcards.tiling}"
    script:
        "../scripts/coarse_view.py"
