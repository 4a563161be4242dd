"""Rule coarse_view: see ddcnn.shards.write_view."""

from ddcnn.logs import job

with job(snakemake.log[0]):
    from ddcnn.shards import write_view

    write_view(
        images=dict(zip(["train", "val", "test"], snakemake.input[:3], strict=True)),
        plan=snakemake.input.plan,
    )
