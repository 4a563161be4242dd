"""ddcnn: image classifiers trained by domain decomposition.

Every image is cut into tiles, one small CNN per tile is trained on its own, and a small dense
coarse net turns the local class probabilities into one decision (arXiv 2302.06564). The package
runs without Snakemake; the workflow only calls one function of a stage per rule.

CONTRIBUTING.md says what each entry of the package holds, and which others it may import.
"""

TYPE_CHECKING = False  # as typing has it, which need not be imported for it
if TYPE_CHECKING:
    from pathlib import Path

    from ddcnn.bundle.model import Model

__version__ = "0.1.0"


def load(path: "str | Path", net_file: "str | Path | None" = None) -> "Model":
    """The trained model in a ``ddcnn.safetensors``, as one ``torch.nn.Module``.

    It maps raw pixels float ``N, C, *spatial`` (0 to 255, not scaled; signals as they are) to class
    probabilities ``N, K``, or for regression to targets ``N, M`` in their own units.

    Args:
        path: the file.
        net_file: the Python file with the user's own net, if the model's nets are of one. It is
            run: give only a file that you trust. The model file itself never makes anything run.

    Raises:
        InputError: the file is truncated, damaged, no model of ddcnn, or of another version.
    """
    from ddcnn.bundle.fit import read_model

    bundle = read_model(path, net_file)  # what it refuses does not wait for torch, which takes 2 s
    from ddcnn.bundle.model import model_of

    return model_of(path, bundle)
