"""The stage train_coarse: the dense net over all local decisions, the coarse problem."""

from ddcnn.coarse.stage import train_coarse

__all__ = ["train_coarse"]
