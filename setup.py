"""What pyproject.toml cannot say: the folder ``kernels/`` is installed as the package ``portkernel.kernels``."""

from setuptools import find_packages, setup

packages = find_packages(include=["portkernel", "portkernel.*"])
kernels = ["portkernel.kernels", *(f"portkernel.kernels.{name}" for name in find_packages("kernels"))]
setup(packages=packages + kernels, package_dir={"portkernel.kernels": "kernels"})
