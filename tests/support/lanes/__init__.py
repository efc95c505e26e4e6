"""Kernels of a GPU, compiled by the system's C++ compiler and run lane by lane."""
