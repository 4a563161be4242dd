"""Small convex problems behind the linear ways of combining local decisions; numpy and scipy.

All of them are deterministic: no random start, no random order.
"""

from collections.abc import Sequence

import numpy as np
from scipy.linalg import cho_factor, cho_solve
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from ddcnn.coarse.inputs import SMALLEST_PROBABILITY, log_rows


def fit_softmax(
    x_NF: np.ndarray,
    labels: np.ndarray,
    num_classes: int,
    ridge: float,
    offset_NK: np.ndarray | None = None,
    start: np.ndarray | None = None,
    steps: int = 200,
    tolerance: float = 1e-6,
    class_weights: Sequence[float] = (),
) -> np.ndarray:
    """Weights of multinomial logistic regression, by L-BFGS.

    Minimises ``mean_n -log softmax(offset_n + x_n W + b)[label_n] + ridge / 2 * |W|^2``; the bias
    ``b`` is free. With ``ridge = 1 / (C * N)`` and no offset this is the problem of scikit-learn's
    ``LogisticRegression(C=C)``. With weights of the classes the mean is by the weights of the
    images, as in ``torch.nn.functional.cross_entropy``.

    Args:
        x_NF: float inputs.
        labels: int ``N``, from 0.
        num_classes: number of classes K.
        ridge: strength of the penalty, above 0.
        offset_NK: fixed part of the logits; the penalty then pulls towards it.
        start: ``F + 1, K`` where the search starts; zeros without it.
        steps: most iterations.
        tolerance: largest entry of the gradient at which the search ends.
        class_weights: of an image of each class, or none: all weigh the same.

    Returns:
        float64 ``F + 1, K``; the last row is the bias.
    """
    x_NF = x_NF.astype(np.float32, copy=False)
    offset = 0.0 if offset_NK is None else offset_NK.astype(np.float32, copy=False)
    n, (num, num_features) = np.arange(len(x_NF)), x_NF.shape
    weights_N = _weights_of_images(labels, num_classes, class_weights)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights = flat.reshape(num_features + 1, num_classes)
        # The products are the work; single precision halves it, the sums are in double precision.
        logits = x_NF @ weights[:-1].astype(np.float32) + weights[-1].astype(np.float32) + offset
        logits -= logits.max(axis=1, keepdims=True)
        true = logits[n, labels]
        p_NK = np.exp(logits, out=logits)
        sums = p_NK.sum(axis=1, keepdims=True)
        losses = np.log(sums[:, 0]) - true
        loss = float((weights_N * losses).mean(dtype=np.float64))
        p_NK /= sums
        p_NK[n, labels] -= 1
        if class_weights:
            p_NK *= weights_N[:, None]
        gradient = np.empty_like(weights)
        gradient[:-1] = (x_NF.T @ p_NK) / num + ridge * weights[:-1]
        gradient[-1] = p_NK.mean(axis=0, dtype=np.float64)
        return loss + ridge / 2 * float((weights[:-1] ** 2).sum()), gradient.ravel()

    first = np.zeros((num_features + 1) * num_classes) if start is None else start.ravel()
    options = {"maxiter": steps, "gtol": tolerance, "ftol": 1e-10}
    found = minimize(objective, first, jac=True, method="L-BFGS-B", options=options)
    return found.x.reshape(num_features + 1, num_classes)


def fit_logistic(
    p_NTK: np.ndarray, labels: np.ndarray, class_weights: Sequence[float] = ()
) -> np.ndarray:
    """Weights of logistic regression on all log-probabilities, as scikit-learn's default has them.

    Args:
        p_NTK: probabilities of N images, T tiles, K classes.
        labels: int ``N``, from 0.
        class_weights: see :func:`fit_softmax`.

    Returns:
        float64 ``T * K + 1, K``; the last row is the bias.
    """
    rows, ridge = log_rows(p_NTK), 1 / len(labels)
    return fit_softmax(rows, labels, p_NTK.shape[2], ridge, class_weights=class_weights)


def fit_ridge(x_NF: np.ndarray, targets_NM: np.ndarray, ridge: float) -> np.ndarray:
    """Weights of ridge regression.

    Minimises ``mean_n |targets_n - x_n W - b|^2 + ridge * |W|^2``; the bias ``b`` is free. With
    ``ridge = alpha / N`` this is the problem of scikit-learn's ``Ridge(alpha=alpha)``.

    Args:
        x_NF: float inputs.
        targets_NM: float targets.
        ridge: strength of the penalty, above 0.

    Returns:
        float64 ``F + 1, M``; the last row is the bias.
    """
    x, y = x_NF.astype(np.float64), targets_NM.astype(np.float64)
    x_mean, y_mean = x.mean(axis=0), y.mean(axis=0)
    x, y = x - x_mean, y - y_mean
    gram = x.T @ x / len(x) + ridge * np.eye(x.shape[1])
    weights = cho_solve(cho_factor(gram), x.T @ y / len(x))
    return np.vstack([weights, y_mean - x_mean @ weights])


def fit_weighted(
    p_NTK: np.ndarray, labels: np.ndarray, class_weights: Sequence[float] = ()
) -> tuple[np.ndarray, float]:
    """Weights of a weighted average of local probabilities, and its exponent.

    Minimises the mean of ``-log`` of the true class's share of ``(sum_t w_t p_t) ** beta``, by
    L-BFGS from equal weights. The exponent sharpens or flattens the average and changes no
    decision. Without it the weights have to do that, too: averages are too unsure, and all weight
    then goes to the surest tile.

    Args:
        p_NTK: probabilities of N images, T tiles, K classes.
        labels: int ``N``, from 0.
        class_weights: see :func:`fit_softmax`.

    Returns:
        float64 ``T``, non-negative, of sum one; and beta, above 0.
    """
    num, num_tiles, num_classes = p_NTK.shape
    weights_N = _weights_of_images(labels, num_classes, class_weights).astype(np.float64)
    p_NTK, n = np.clip(p_NTK, SMALLEST_PROBABILITY, 1).astype(np.float64), np.arange(num)

    def objective(flat: np.ndarray) -> tuple[float, np.ndarray]:
        weights, beta = softmax(flat[:-1]), np.exp(flat[-1])
        average_NK = np.tensordot(p_NTK, weights, axes=(1, 0))
        logits = beta * np.log(average_NK)
        log_p_NK = log_softmax(logits, axis=1)
        slope_NK = np.exp(log_p_NK)
        slope_NK[n, labels] -= 1
        slope_NK *= weights_N[:, None] / num
        by_weight = np.tensordot(p_NTK, beta * slope_NK / average_NK, axes=([0, 2], [0, 1]))
        gradient = np.append(weights * (by_weight - weights @ by_weight), (slope_NK * logits).sum())
        return -float((weights_N * log_p_NK[n, labels]).mean()), gradient

    # Where the training images are learned by heart, every larger exponent is better.
    bounds = [(None, None)] * num_tiles + [np.log([0.01, 100])]
    start = np.zeros(num_tiles + 1)
    found = minimize(objective, start, jac=True, method="L-BFGS-B", bounds=bounds).x
    return softmax(found[:-1]), float(np.exp(found[-1]))


def _weights_of_images(
    labels: np.ndarray, num_classes: int, class_weights: Sequence[float]
) -> np.ndarray:
    """Float32 ``N`` of mean 1."""
    weights_N = np.array(class_weights or np.ones(num_classes), np.float32)[labels]
    weights_N /= weights_N.mean(dtype=np.float64)
    return weights_N
