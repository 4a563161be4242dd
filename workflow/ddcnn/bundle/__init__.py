"""A trained run in one file: written by the stage bundle, then loaded, predicted with, exported.

The stage itself and the model card need no torch; :mod:`ddcnn.bundle.model` and what stands on it
do.
"""
