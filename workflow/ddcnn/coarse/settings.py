"""What is known of the coarse net without torch."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ddcnn.coarse.net import CoarseNet

# Inputs of the coarse net that spread by less are not blown up any further.
SMALLEST_SPREAD = 0.01


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

    def build(self, num_inputs: int, num_outputs: int) -> "CoarseNet":
        """The net, adding nothing to the average yet."""
        from ddcnn.coarse.net import CoarseNet  # here: the linear solver needs no torch

        return CoarseNet(num_inputs, num_outputs, self.layers, self.dropout)
