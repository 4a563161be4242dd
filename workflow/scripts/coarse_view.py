"""Rule coarse_view: see ddcnn.tiles.shards.write_view."""

from ddcnn.base.logs import job

with job(snakemake.log[0]):
    from ddcnn.tiles.shards import write_view

    write_view(
        images=dict(zip(["train", "val", "test"], snakemake.input[:3], strict=True)),
        plan=snakemake.input.plan,
    )
