"""Kernels of our own for small convolutional nets on a CPU: what local nets spend their time on.

Written in C++ (beside this file), compiled on first use, called by ``ddcnn.nets.layers``. Without
a compiler, on a GPU, with several threads, for other kinds of layers or on a release of torch that
lacks what :mod:`ddcnn.nets.kernels.hooks` names, torch's kernels do the same. The rest of the
package imports :mod:`ddcnn.nets.kernels.door` alone.
"""
