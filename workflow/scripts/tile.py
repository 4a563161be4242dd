"""Rule tile: see ddcnn.shards.write_shards."""

from ddcnn.logs import job

with job(snakemake.log[0]):
    from ddcnn.shards import write_shards
    from ddcnn.tiles import Tiling

    write_shards(
        Tiling(**snakemake.params.tiling),
        images=dict(zip(["train", "val", "test"], snakemake.input, strict=True)),
        plan=snakemake.output.plan,
    )
