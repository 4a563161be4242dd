"""The other ways of training in parallel: one global net by several workers that talk all the time.

What the method is compared with. A way is one of :data:`WAYS`.
"""

WAYS = ("data", "data-synchronised", "spatial", "pipeline")
