"""Data sets: which there are, how they are read, and their cards."""

from ddcnn.data.registry import REGISTRY, Dataset, dataset_of

__all__ = ["REGISTRY", "Dataset", "dataset_of"]
