"""Rule tile: see ddcnn.tiles.shards.write_shards."""

from ddcnn.base.logs import job

with job(snakemake.log[0]):
    from ddcnn.base.splits import by_part
    from ddcnn.tiles.geometry import Tiling
    from ddcnn.tiles.shards import write_shards

    write_shards(
        Tiling(**snakemake.params.tiling),
        images=by_part(snakemake.input.images),
        plan=snakemake.output.plan,
    )
