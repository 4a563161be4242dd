"""Rule train_local: see ddcnn.local.train_local."""

from pathlib import Path

from ddcnn.logs import log_to

with log_to(snakemake.log[0]):
    from ddcnn.local import Subdomain, train_local
    from ddcnn.training import Settings

    subdomain = Subdomain(**snakemake.params.subdomain)
    train_local(
        subdomain,
        shards=subdomain.shards(Path("results/tiles")),
        labels=dict(zip(["train", "val"], snakemake.input.labels, strict=True)),
        card=snakemake.input.card,
        settings=Settings(**snakemake.params.settings),
        out=Path(snakemake.output.model).parent,
        gpus=snakemake.resources.gpu,
        threads=snakemake.threads,
        code=snakemake.params.code,
    )
