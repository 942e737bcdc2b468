from .files import is_pipeline as is_pipeline, list_recipes as list_recipes, read_settings as read_settings
from .loading import load_recipe as load_recipe, paths as paths, validate as validate
from .schema import Recipe as Recipe
