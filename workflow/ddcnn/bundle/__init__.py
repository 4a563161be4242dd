"""A trained run in one file: written by the stage bundle, then loaded, predicted with, exported.

The stage itself, the model card and most predictions (:mod:`ddcnn.bundle.served`) need no torch;
:mod:`ddcnn.bundle.model` and what stands on it do.
"""
