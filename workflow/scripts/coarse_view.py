"""Rule coarse_view: see ddcnn.tiles.shards.write_view."""

from ddcnn.base.logs import job

with job(snakemake.log[0]):
    from ddcnn.base.splits import by_part
    from ddcnn.tiles.shards import write_view

    write_view(
        images=by_part(snakemake.input.images),
        plan=snakemake.input.plan,
    )
