"""Recipes: YAML files in this folder, or files of your own, that are checked against `schema.Recipe`.

`__init__.pyi` lists the names, and each is imported at its first use. So code that only lists recipes
(`labkit.recipes.files`) runs without torch, which the check of a recipe needs.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
