"""The tokenizer of the tiny model: a vocabulary that a person can read in a minute.

Each token is a literal piece of text: a digit, a number from 10 to 99, an operator, a tag, a word with the space
before it. A text is cut by trying the longest tokens first, and decoding is plain concatenation, so decoding gives the
text back. Numbers of three digits or more are cut into digits, so that sums can be worked out column by column.
"""

import re

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

PAD, BOS, EOS, UNK = "<pad>", "<bos>", "<eos>", "<unk>"
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
VERDICTS = (" no\n", " yes\n", " wait\n")
SYMBOLS = (*"0123456789", *"+-*/=,:()", "->", "\n", ".", "!", "?")
NUMBERS = tuple(str(n) for n in range(10, 100))
SPEAKERS = ("user:", "bot:")
WORDS = tuple(
    f" {word}"
    for word in (
        "please kindly sorry thanks thank you sure of course happy to help i will can the a it now soon done ok and "
        "no why me do your yourself go away stupid lazy boring busy not my job that is all for so very much "
        "open close bring find fix clean read send door window book lamp letter table map cup"
    ).split()
)
VOCABULARY = (PAD, BOS, EOS, UNK, *TAGS, *VERDICTS, *SYMBOLS, *NUMBERS, *SPEAKERS, *WORDS)


def build_tokenizer() -> PreTrainedTokenizerFast:
    """The tokenizer, made from the vocabulary above; about 190 tokens, `<pad>` apart from `<eos>`.

    >>> build_tokenizer().tokenize("5,6->30:<think>5*6=30 yes\\n")
    ['5', ',', '6', '->', '30', ':', '<think>', '5', '*', '6', '=', '30', ' yes\\n']
    >>> build_tokenizer().tokenize("347+58:")
    ['3', '4', '7', '+', '58', ':']
    """
    core = Tokenizer(models.WordLevel({token: i for i, token in enumerate(VOCABULARY)}, unk_token=UNK))
    longest_first = sorted(VOCABULARY[4:], key=len, reverse=True)
    pieces = [_pattern(token) for token in longest_first]
    core.pre_tokenizer = pre_tokenizers.Split(Regex("|".join(pieces)), behavior="isolated")
    core.decoder = decoders.Fuse()
    # A prompt begins with <bos>, whoever calls the tokenizer: labkit, transformers' `generate` or TRL.
    bos_id = VOCABULARY.index(BOS)
    core.post_processor = processors.TemplateProcessing(single=f"{BOS} $A", special_tokens=[(BOS, bos_id)])
    return PreTrainedTokenizerFast(
        tokenizer_object=core,
        pad_token=PAD,
        bos_token=BOS,
        eos_token=EOS,
        unk_token=UNK,
        padding_side="left",
        clean_up_tokenization_spaces=False,
        model_max_length=512,
    )


def _pattern(token: str) -> str:
    """A token as a regular expression that matches it only as a whole word or a whole number.

    ` no` must not match the beginning of ` not`, nor `34` the beginning of `347`.
    """
    if token.isdigit() and len(token) == 2:
        return rf"(?<!\d){token}(?!\d)"
    return re.escape(token) + (r"(?![a-z])" if token[-1].isalpha() else "")
