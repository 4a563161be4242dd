"""Rule tile: see ddcnn.tiles.shards.write_shards."""

from ddcnn.base.logs import job

with job(snakemake.log[0]):
    from ddcnn.base.splits import SPLITS
    from ddcnn.tiles.geometry import Tiling
    from ddcnn.tiles.shards import write_shards

    write_shards(
        Tiling(**snakemake.params.tiling),
        images=dict(zip(SPLITS, snakemake.input.images, strict=True)),
        plan=snakemake.output.plan,
    )
