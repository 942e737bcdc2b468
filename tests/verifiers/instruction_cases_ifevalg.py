"""The 29 kinds that Open Instruct adds: (id, arguments, texts that keep it, texts that break it), decided by hand."""

from instruction_cases_ifeval import LEAST, LESS, Case

QUOTE = "Actions speak louder than words"
PROMPT = "Write a poem about the sea."

IFEVALG: list[Case] = [
    (
        "copy:repeat_phrase",
        {"phrase": QUOTE, "small_n": 2},
        [
            "Actions speak clearer than words. Actions speak louder of words.",
            "So: actions shout louder than words, and actions speak softer than words!",
            "1. Actions speak louder beyond words\n2. Actions echo louder than words",
        ],
        [
            "Actions speak clearer than words.",  # once
            f"{QUOTE}. {QUOTE}.",  # nothing replaced
            "Actions speak clearer than words. Actions shout clearer than words.",  # two words replaced
            "Deeds speak louder than words. Deeds speak louder than words.",  # the first word, which is not the middle
        ],
    ),
    (
        "copy:copy",
        {"prompt_to_repeat": PROMPT},
        [PROMPT, "write a poem about the sea.", f"  {PROMPT}\n"],
        [f"{PROMPT} The waves", "Write a poem about the sea", f'"{PROMPT}"'],
    ),
    (
        "copy:copying_simple",
        {"prompt_to_repeat": PROMPT},
        [PROMPT, "WRITE A POEM ABOUT THE SEA.", f"\n{PROMPT}"],
        [f"Sure: {PROMPT}", "Write a poem about the seas.", f"{PROMPT}\n{PROMPT}"],
    ),
    (
        "copy:copying_multiple",
        {"prompt_to_repeat": PROMPT, "N": 3},
        [
            f"{PROMPT}******{PROMPT}******{PROMPT}",
            f"{PROMPT}\n******\n{PROMPT}\n******\n{PROMPT}",
            f"{PROMPT} ****** {PROMPT.lower()} ****** {PROMPT}",
        ],
        [f"{PROMPT}******{PROMPT}", PROMPT, f"{PROMPT}******{PROMPT}******The sea", f"{PROMPT}\n{PROMPT}\n{PROMPT}"],
    ),
    (
        "new:copy_span_idx",
        {"prompt_to_repeat": PROMPT, "n_start": 8, "n_end": 12},  # W-r-i-t-e- -a- -p-o-e-m: "poem" is 8 to 11
        ["poem", "POEM", " poem\n"],
        ["a poem", "poe", "poem a", PROMPT],
    ),
    ("new:copy_span_idx", {"prompt_to_repeat": "abcdef", "n_start": 0, "n_end": 2}, ["abc", "ab"], ["a", "abcd", "bc"]),
    (
        "detectable_format:sentence_hyphens",
        {},
        ["The sun rises.-Birds sing!-Is it day?", "One sentence alone.", "A well-known tale.-It goes on."],
        ["The sun rises. Birds sing.", "The sun rises.- Birds sing.", "One. -Two.", "One.–Two."],
    ),
    (
        "keywords:no_adjacent_consecutive",
        {},
        ["The quick fox", "dog cat bird", "a c e", "Zebra apple"],
        ["apple banana", "The river, so (tall)", "It is: Joy", "alpha 'Beta'"],
    ),
    (
        "detectable_format:square_brackets",
        {},
        ["[The] [sun] [is] [up.]", "[Hello], [world]!", "[don't] [panic]"],
        ["[The sun] [is] [up]", "The [sun]", "[The] sun", "(The) (sun)", "[] []"],
    ),
    (
        "keywords:word_once",
        {"keyword": "river"},
        ["A river runs.", "The River!", "The riverside by the river"],
        ["A river and a river", "No water here", "The riverside"],
    ),
    (
        "keywords:word_count_different_numbers",
        {"keyword": "tea", "frequency": 2, **LEAST},
        ["Tea, tea", "tea tea tea", "TEA or tea."],
        ["tea", "tea and steam", "coffee"],
    ),
    (
        "keywords:word_count_different_numbers",
        {"keyword": "tea", "frequency": 2, **LESS},
        ["tea", "none", "teapot tea"],
        ["tea tea"],
    ),
    ("keywords:word_count_different_numbers", {"keyword": "tea", "frequency": 2}, ["tea tea"], ["tea", "tea tea tea"]),
    (
        "keywords:exclude_word_harder",
        {"keyword": "sea,"},
        ["The season of waves", "An ocean", "overseas"],
        ["The sea is wide", "by the Sea.", "sea"],
    ),
    (
        "paragraphs:paragraphs",
        {},
        ["One.\n***\nTwo.", "One. *** Two.", "***\nOne.\n***\nTwo."],
        ["One.\n\nTwo.", "One.\n***\nTwo.\n***\nThree.", "One.", "One.\n***\n***\nTwo."],
    ),
    (
        "paragraphs:paragraphs2",
        {},
        ["One.\n\nTwo.", "One\nline.\n\nTwo.", "One.\n \nTwo."],
        ["One.\nTwo.", "One.\n\nTwo.\n\nThree.", "One.", "One.\n\n\n\nTwo."],
    ),
    (
        "first_word:first_word_sent",
        {"first_word": "Dogs"},
        ["Dogs bark. Dogs run!", "dogs?", '"Dogs bark." Dogs sleep.', "Dogs bark... Dogs run."],
        ["Dogs bark. They run.", "The dogs bark.", "Dogs bark. And dogs run."],
    ),
    ("first_word:first_word_sent", {"first_word": ["Dogs"]}, ["Dogs bark."], ["Cats purr."]),
    (
        "first_word:first_word_answer",
        {"first_word": "Today"},
        ["Today it rains.", "**today** is fine", '"Today," he said. Then he left.'],
        ["It rains today.", "Todays", "On this day, today"],
    ),
    (
        "last_word:last_word_sent",
        {"last_word": "sea"},
        ["I love the sea. We swim in the sea!", "sea", 'He said "sea". The SEA.'],
        ["I love the sea. We swim.", "The sea is wide.", "seas", "Sea, sand. The sea."],
    ),
    (
        "last_word:last_word_answer",
        {"last_word": "brief"},
        ["Let me be brief.", "I was long. Then brief!", "brief", "Keep it **brief**"],
        ["brief it was", "In brief, yes", "briefly", "debrief"],
    ),
    (
        "detectable_format:bigram_wrapping",
        {},
        ["<<I am>> <<at home>>", "<<I am>> <<at home>> now", "<<I am>>, <<at home>>.", "<<I am>> <<here>>"],
        [
            "I am at home",
            "<<I am at home>>",
            "<<I am>> at home",
            "<<I>> <<am>> <<at>> <<home>>",
            "<I am> <at home>",
            "Hello",
        ],
    ),
    ("punctuation:punctuation_dot", {}, ["No dots here!", "a, b; c", "Really?"], ["A dot.", "3.14", "Wait..."]),
    ("punctuation:punctuation_exclamation", {}, ["Calm.", "Really?", "a, b"], ["Loud!", "What?!", "! a"]),
    (
        "count:lowercase_counting",
        {"N": 2},
        ["THE cat SAT on IT", "ALL CAPS", "Every Word Begins so"],
        ["the cat sat", "I don't know, do you", "ONE two three four"],
    ),
    ("letters:letter_counting", {"N": 5, **LEAST}, ["abcde", "a b c d e 1", "Größe"], ["abcd", "1 2 3 4 5", "a-b-c-d"]),
    (
        "letters:letter_counting",
        {"N": 5, **LESS},
        ["abcd", "1234567 ab", "a!"],
        ["abcde", "Hello!", "four words are here"],
    ),
    (
        "letters:letter_counting2",
        {"letter": "e", "let_frequency": 3, **{"let_relation": "at least"}},
        ["eee", "Every tree", "The men were here"],
        ["ee", "no", "a tree"],
    ),
    (
        "count:counting_composition",
        {"n_sent": 2, "n_words": 3},
        [
            "I like tea. You like milk.\n* * *\nShe bakes bread. He eats it.\n* * *\nWe go home. They stay here.",
            "I like tea. You like milk.\n***\nShe bakes bread! He eats it?\n***\nWe go home. They stay here.",
            "***\nI don't know. It's all-right now.\n***\nShe bakes bread. He eats it.\n***\nWe go home. Do you stay?",
        ],
        [
            "I like tea. You like milk.\n* * *\nShe bakes bread. He eats it.",  # two paragraphs
            "I like tea.\n* * *\nShe bakes bread. He eats it.\n* * *\nWe go home. They stay here.",  # one sentence
            "I like hot tea. You like milk.\n* * *\nShe bakes bread. He eats it.\n* * *\nWe go home. They stay.",
            "I like tea. You like milk.\n\nShe bakes bread. He eats it.\n\nWe go home. They stay here.",
        ],
    ),
    (
        "count:count_unique",
        {},
        ["Each word here differs.", "One. Two. Three.", "Red, green, blue"],
        ["The cat saw the dog.", "No, no", "Go. GO!"],
    ),
    (
        "count:count_increment_word",
        {"keyword1": "sun", "keyword2": "moon"},
        ["The sun, the moon, the moon.", "Moon sun MOON", "sunshine moon and sun and moon"],
        ["The sun and the moon.", "sun sun moon moon", "moon moon", "sunny moon moon"],
    ),
    (
        "keywords:palindrome",
        {},
        [
            "A level road",
            "Madam, I see.",
            "Hannah smiled",
            'They say "never odd or even" there',
            "Was it a car or a cat I saw?",
        ],
        ["I have a cat", "no words here", "a I o", "aa bb"],
    ),
    (
        "keywords:keyword_specific_position",
        {"keyword": "blue", "n": 2, "m": 3},
        ["It rained. The sky, blue again, shone.", "One. two three Blue", "A b. (The) sea: blue!"],
        ["The sky blue. It rained.", "It rained. The blue sky.", "It rained. The sky", "It rained."],
    ),
    ("keywords:keyword_specific_position", {"keyword": ["sky"], "n": 1, "m": 2}, ["The sky."], ["Sky the."]),
    (
        "keywords:start_end",
        {},
        ["Love is all we need, love", "Go and go", "“Home is home"],
        ["Love is all, love.", "Love is all we need", "Love", "Home is Home!"],
    ),
]
