"""Which folders become packages of the wheel; everything else about labkit stands in pyproject.toml.

The data lies in the repository's top-level `data/`, where a reader looks for it, and in an installed wheel as
`labkit/_data/`, where no other distribution can collide with it. A mapping beside an automatic package list
cannot be said in pyproject.toml, hence this file.
"""

from setuptools import find_packages, setup

setup(
    packages=[*find_packages(include=["labkit", "labkit.*", "labkit_exercises"]), "labkit._data"],
    package_dir={"labkit": "labkit", "labkit_exercises": "labkit_exercises", "labkit._data": "data"},
)
