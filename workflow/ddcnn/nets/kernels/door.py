"""The door of the kernels: what the rest of the package uses of them, and nothing else."""

from ddcnn.nets.kernels.chain import Chain
from ddcnn.nets.kernels.hooks import is_unwatched
from ddcnn.nets.kernels.images import gather_images
from ddcnn.nets.kernels.kernel import Kernel
from ddcnn.nets.kernels.library import kernels
from ddcnn.nets.kernels.suitable import CHANNELS_LAST, suits

__all__ = ["CHANNELS_LAST", "Chain", "Kernel", "gather_images", "is_unwatched", "kernels", "suits"]
