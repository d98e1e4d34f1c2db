"""Write a kernel once, as a Python function over tiles; run it as CUDA C++, OpenCL C, Triton or NumPy."""
