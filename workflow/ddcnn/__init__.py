"""ddcnn: image classifiers trained by domain decomposition.

Every image is cut into tiles, one small CNN per tile is trained on its own, and a small dense
coarse net turns the local class probabilities into one decision (arXiv 2302.06564). The package
runs without Snakemake; the workflow only calls one function of a stage per rule.

Three floors, imports go down only:

- stages: ``shards``, ``local``, ``coarse``, ``coherent``, ``runs``, ``report``, ``compare``,
  ``status``, ``room`` and the command line with its ``commands``;
- tools of the stages: ``configuration``, ``data``, ``training``, ``figures``, ``jobs``,
  ``job_times``;
- ground: ``tiles``, ``tasks``, ``models``, ``evaluation``, ``diagnosis``, ``solvers``,
  ``sources``, ``checkpoint``, ``device``, ``slots``, ``optimizers``, ``steps``, ``packs``,
  ``files``, ``disk``, ``events``, ``staging``, ``interruption``, ``recovery``, ``logs``,
  ``makespan``, ``words``, ``provenance``, ``errors``.
"""

__version__ = "0.1.0"
