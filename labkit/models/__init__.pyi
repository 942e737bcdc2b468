from .adapters import (
    adapter_weights as adapter_weights,
    merged_adapters as merged_adapters,
    without_adapters as without_adapters,
)
from .at_hand import MODELS as MODELS
from .encoding import (
    Encoded as Encoded,
    concatenate_and_cut as concatenate_and_cut,
    encode_reply as encode_reply,
    pad as pad,
    step_ends as step_ends,
    tells_turns_apart as tells_turns_apart,
    tokens_and_mask as tokens_and_mask,
)
from .heads import ScalarHead as ScalarHead, hidden_width as hidden_width
from .logprobs import (
    head_logprobs as head_logprobs,
    logprobs_and_entropy_of as logprobs_and_entropy_of,
    shifted_logits as shifted_logits,
    token_logprobs as token_logprobs,
    token_logprobs_and_entropy as token_logprobs_and_entropy,
)
from .lora import add_lora as add_lora
from .output import Head as Head, chosen_logprobs as chosen_logprobs, output_head as output_head
from .policy import Policy as Policy, load_policy as load_policy
from .reward_model import RewardModel as RewardModel, load_reward_model as load_reward_model
from .trunk import autocast as autocast, hidden_states as hidden_states, train_with as train_with
