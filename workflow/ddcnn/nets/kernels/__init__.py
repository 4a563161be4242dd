"""Kernels of our own for small convolutional nets on a CPU: what local nets spend their time on.

Written in C++ (beside this file), compiled on first use, called by ``ddcnn.nets.layers``. Without
a compiler, on a GPU, with several threads or for other kinds of layers torch's kernels do the same.
"""
