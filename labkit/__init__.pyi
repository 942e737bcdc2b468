from . import algorithms as algorithms, plots as plots, verifiers as verifiers
from .errors import UserError as UserError
from .plots.comparison import compare as compare
from .evaluation.comparison.groups import compare_groups as compare_groups, power as power
from .evaluation.intervals import (
    bootstrap_interval as bootstrap_interval,
    mean_and_interval as mean_and_interval,
    t_interval as t_interval,
)
from .evaluation.report import (
    Report as Report,
    evaluate as evaluate,
    maj_at_k as maj_at_k,
    pass_at_k as pass_at_k,
)
from .evaluation.selection import (
    best_of_n as best_of_n,
    kl_of_best_of_n as kl_of_best_of_n,
    rejection_sample as rejection_sample,
)
from .exercises import check as check, hint as hint, solution as solution, spec as spec, use as use
from .lab import train as train
from .models import (
    Policy as Policy,
    RewardModel as RewardModel,
    load_policy as load_policy,
    concatenate_and_cut as concatenate_and_cut,
    load_reward_model as load_reward_model,
    token_logprobs as token_logprobs,
    token_logprobs_and_entropy as token_logprobs_and_entropy,
    tokens_and_mask as tokens_and_mask,
)
from .recipes import Recipe as Recipe, list_recipes as list_recipes, load_recipe as load_recipe
from .rollouts import Rollouts as Rollouts, score as score
from .runs import Run as Run, open_run as open_run
from .sampling import sample as sample
from .tables import show_table as show_table, with_interval as with_interval
from .tasks import (
    TASKS as TASKS,
    Problem as Problem,
    Task as Task,
    load_task as load_task,
    task_from_file as task_from_file,
    task_from_function as task_from_function,
)
from .teaching.published import published as published
from .teaching.predictions import calibration as calibration, outcome as outcome, predict as predict
from .verifiers import Score as Score
from .widgets import browse as browse, sample_live as sample_live

__version__: str
