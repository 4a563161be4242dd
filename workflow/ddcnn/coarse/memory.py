"""What solving the coarse problem takes of the memory: of many classes, more than all the nets.

A linear net has a weight for every pair of a class and a number that a tile gives, so that its size
goes with the square of the classes.
"""

from ddcnn.base.memory import require_memory

# Doubles that L-BFGS keeps for each weight: 38.0 to 39.4 in runs of 4 tiles and 250 to 1,000
# classes (peak of the process, SciPy 1.17.1).
COPIES = 36
# Of a covariance of all inputs (ridge regression): 2.4 to 3.6 in such runs.
COPIES_OF_COVARIANCE = 2
ROW_BYTES = 24  # of an input of an image, while the decisions become inputs


def bytes_of_linear(num_rows: int, num_inputs: int, num_outputs: int, task: str) -> int:
    """Memory that solving a linear coarse net takes at least, in bytes.

    Args:
        num_rows: images N that it is fitted on.
        num_inputs: numbers F that all tiles together give of an image.
        num_outputs: classes or targets K.
        task: name of the task.
    """
    doubles = COPIES * (num_inputs + 1) * num_outputs
    if task == "regression":
        doubles = COPIES_OF_COVARIANCE * num_inputs**2
    return 8 * doubles + ROW_BYTES * num_rows * num_inputs


def require_for_linear(
    what: str, num_rows: int, num_inputs: int, num_outputs: int, task: str
) -> None:
    """Raise an :class:`InputError` if the memory does not take it; ``what`` is solved."""
    noun = "classes" if task == "classification" else "targets"
    require_memory(
        f"{what}, {num_inputs:,} inputs and {num_outputs:,} {noun},",
        bytes_of_linear(num_rows, num_inputs, num_outputs, task),
        "take fewer tiles, coarse: {solver: mlp} (and no logistic among the methods), or allow "
        "more memory",
    )
