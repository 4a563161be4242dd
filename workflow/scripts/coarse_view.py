"""Rule coarse_view: see ddcnn.shards.write_view."""

from ddcnn.logs import log_to
from ddcnn.shards import write_view

with log_to(snakemake.log[0]):
    write_view(
        images=dict(zip(["train", "val", "test"], snakemake.input[:3], strict=True)),
        plan=snakemake.input.plan,
    )
