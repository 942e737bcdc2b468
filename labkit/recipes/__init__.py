"""Recipes: YAML files in this folder, or of your own, checked against `schema.Recipe`.

The names stand in `__init__.pyi`; each is imported when it is first asked for. So recipes are listed
(`labkit.recipes.files`) without torch, which the check of a recipe needs.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
