"""What is known of the coarse net without torch."""

from dataclasses import dataclass


@dataclass(frozen=True)
class CoarseSettings:
    """What the coarse net is; how an MLP is trained: :class:`ddcnn.training.settings.Settings`.

    Attributes:
        solver: ``linear`` (L-BFGS on a convex problem) or ``mlp`` (hidden layers, mini-batches).
        hidden, dropout: of the MLP.
        input: what it sees of a tile, see :func:`coarse_input`.
        fit_on: ``train``, ``validation`` or ``out-of-fold``: the local decisions it learns from.
            Those on the training images are over-confident, because the local nets have learned
            them; out-of-fold ones are by nets that have not seen the image.
    """

    solver: str
    hidden: list[int]
    dropout: float
    input: str
    fit_on: str = "train"

    @property
    def layers(self) -> list[int]:
        """Neurons of each hidden layer."""
        return [] if self.solver == "linear" else list(self.hidden)
