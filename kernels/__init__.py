"""The kernel library: one operator a module, each with its NumPy reference and its error bound.

The modules use the public ``portkernel`` package alone, and are its first users.
"""
