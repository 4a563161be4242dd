"""The convex problems against scikit-learn and scipy's own minimiser."""

import numpy as np
import pytest
import scipy.optimize
import sklearn.linear_model
from hypothesis import given, settings
from hypothesis import strategies as st

from ddcnn.coarse import solvers
from ddcnn.evaluation import methods


def problem(seed: int, num_classes: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """Inputs ``N, F`` and labels that depend on them."""
    rng = np.random.default_rng(seed)
    x_NF = rng.normal(size=(120, 5))
    logits = x_NF @ rng.normal(size=(5, num_classes)) + rng.gumbel(size=(120, num_classes))
    return x_NF, logits.argmax(axis=1)


def local_probabilities(seed: int, num_tiles: int = 3) -> tuple[np.ndarray, np.ndarray]:
    """``p_NTK`` that know something of the labels, the first tiles more than the last."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 4, 200)
    knows = np.linspace(3, 0.5, num_tiles)[None, :, None]
    logits = rng.normal(size=(200, num_tiles, 4)) + knows * np.eye(4)[labels][:, None]
    p_NTK = np.exp(logits)
    return p_NTK / p_NTK.sum(axis=2, keepdims=True), labels


@pytest.mark.parametrize("strength", [0.01, 1.0, 100.0])
def test_softmax_regression_is_that_of_scikit_learn(strength):
    x_NF, labels = problem(seed=0)
    reference = sklearn.linear_model.LogisticRegression(C=strength, tol=1e-8, max_iter=10_000)
    reference.fit(x_NF, labels)
    weights = solvers.fit_softmax(x_NF, labels, 3, ridge=1 / (strength * len(labels)), steps=1000)
    p = np.exp(x_NF @ weights[:-1] + weights[-1])
    p /= p.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, reference.predict_proba(x_NF), atol=2e-3)


def test_weights_of_classes_are_those_of_scikit_learn():
    x_NF, labels = problem(seed=4)
    kept = (labels != 1) | (np.arange(len(labels)) % 4 == 0)
    x_NF, labels = x_NF[kept], labels[kept]
    weights = len(labels) / (3 * np.bincount(labels))
    reference = sklearn.linear_model.LogisticRegression(
        class_weight="balanced", tol=1e-8, max_iter=10_000
    ).fit(x_NF, labels)
    ridge = 1 / len(labels)
    fitted = solvers.fit_softmax(
        x_NF, labels, 3, ridge, steps=1000, class_weights=tuple(5 * weights)
    )
    p = np.exp(x_NF @ fitted[:-1] + fitted[-1])
    p /= p.sum(axis=1, keepdims=True)
    np.testing.assert_allclose(p, reference.predict_proba(x_NF), atol=2e-3)
    plain = solvers.fit_softmax(x_NF, labels, 3, ridge, steps=1000)
    assert np.abs(fitted - plain).max() > 0.1


def test_logistic_regression_on_local_probabilities_is_that_of_scikit_learn():
    p_NTK, labels = local_probabilities(seed=1)
    rows = np.log(p_NTK).reshape(len(p_NTK), -1)
    reference = sklearn.linear_model.LogisticRegression(C=1.0, tol=1e-8, max_iter=10_000)
    reference.fit(rows, labels)
    found = methods.logistic(p_NTK, solvers.fit_logistic(p_NTK, labels))
    np.testing.assert_allclose(found, reference.predict_proba(rows), atol=2e-3)
    assert (found.argmax(axis=1) == reference.predict(rows)).mean() > 0.99


def test_a_strong_penalty_stays_at_the_offset_and_a_weak_one_does_not():
    x_NF, labels = problem(seed=2)
    offset = np.log(np.full((len(labels), 3), 1 / 3))
    strong, weak = (
        solvers.fit_softmax(x_NF, labels, 3, ridge, offset)[:-1] for ridge in (1e4, 1e-4)
    )
    assert np.abs(strong).max() < 1e-3
    assert np.abs(weak).max() > 0.1


def test_a_start_shortens_the_way_but_does_not_change_the_end():
    x_NF, labels = problem(seed=3)
    cold = solvers.fit_softmax(x_NF, labels, 3, 1e-2)
    warm = solvers.fit_softmax(x_NF, labels, 3, 1e-2, start=cold + 0.1)
    np.testing.assert_allclose(warm[:-1], cold[:-1], atol=5e-3)


@given(st.integers(0, 1000), st.sampled_from([1e-3, 1.0, 10.0]))
@settings(max_examples=20, deadline=None)
def test_ridge_regression_is_that_of_scikit_learn(seed, alpha):
    rng = np.random.default_rng(seed)
    x, y = rng.normal(size=(30, 4)), rng.normal(size=(30, 2)) + 5
    reference = sklearn.linear_model.Ridge(alpha=alpha).fit(x, y)
    weights = solvers.fit_ridge(x, y, ridge=alpha / len(x))
    np.testing.assert_allclose(weights[:-1], reference.coef_.T, rtol=1e-6, atol=1e-9)
    np.testing.assert_allclose(weights[-1], reference.intercept_, rtol=1e-6)


def test_the_weighted_average_is_what_a_general_minimiser_finds():
    p_NTK, labels = local_probabilities(seed=4)

    def loss(flat: np.ndarray) -> float:
        weights = np.exp(flat[:3]) / np.exp(flat[:3]).sum()
        average = (p_NTK * weights[None, :, None]).sum(axis=1) ** np.exp(flat[3])
        p_NK = average / average.sum(axis=1, keepdims=True)
        return -np.log(p_NK[np.arange(len(labels)), labels]).mean()

    options = {"maxiter": 4000, "xatol": 1e-6, "fatol": 1e-10}
    reference = scipy.optimize.minimize(loss, np.zeros(4), method="Nelder-Mead", options=options)
    weights, exponent = solvers.fit_weighted(p_NTK, labels)
    assert weights.sum() == pytest.approx(1)
    assert loss(np.append(np.log(weights), np.log(exponent))) == pytest.approx(
        reference.fun, abs=1e-5
    )
    # The first tile knows most.
    assert weights.argmax() == 0
    assert weights.argmin() == 2


def test_the_exponent_stays_finite_where_everything_is_learned_by_heart():
    labels = np.arange(60) % 3
    p_NTK = np.eye(3)[labels][:, None].repeat(2, axis=1) * 0.7 + 0.1
    weights, exponent = solvers.fit_weighted(p_NTK, labels)
    assert 1 < exponent <= 100 * (1 + 1e-9)
    np.testing.assert_allclose(weights, 0.5, atol=1e-6)


def test_the_weighted_average_of_equal_tiles_has_equal_weights():
    p_NTK, labels = local_probabilities(seed=5, num_tiles=1)
    weights, _ = solvers.fit_weighted(p_NTK.repeat(3, axis=1), labels)
    np.testing.assert_allclose(weights, 1 / 3, atol=1e-3)
