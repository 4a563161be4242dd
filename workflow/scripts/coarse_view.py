"""Rule coarse_view: see ddcnn.tiles.shards.write_view."""

from ddcnn.base.logs import job

with job(snakemake.log[0]):
    from ddcnn.base.splits import SPLITS
    from ddcnn.tiles.shards import write_view

    write_view(
        images=dict(zip(SPLITS, snakemake.input.images, strict=True)),
        plan=snakemake.input.plan,
    )
