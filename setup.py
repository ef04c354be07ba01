"""What pyproject.toml cannot say: the library is every module of src/ whose name begins with resu_."""

from pathlib import Path

from setuptools import setup

setup(py_modules=sorted(path.stem for path in Path(__file__).parent.glob("src/resu_*.py")))
