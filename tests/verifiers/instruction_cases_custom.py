"""IFBench's eleven `custom:` kinds: (id, arguments, texts that keep it, texts that break it), decided by hand."""

from instruction_cases_ifeval import Case

COUNTRIES = [
    name.replace("_", " ")
    for name in """
Zimbabwe Zambia Uganda Tunisia Togo Tanzania Sudan South_Sudan South_Africa Somalia Sierra_Leone Seychelles Senegal
São_Tomé_and_Príncipe Rwanda Nigeria Niger Namibia Mozambique Morocco Mauritius Mauritania Mali Malawi Madagascar Libya
Liberia Lesotho Kenya Guinea-Bissau Guinea Ghana Gambia Gabon Ethiopia Eswatini Eritrea Equatorial_Guinea Egypt Djibouti
Democratic_Republic_of_the_Congo Côte_d'Ivoire Congo Comoros Chad Central_African_Republic Cape_Verde Cameroon Burundi
Burkina_Faso Botswana Benin Angola Algeria
""".split()
]  # all 54
CAPITALS = (
    "Reykjavík, Helsinki, Oslo, Tallinn, Stockholm, Riga, Moscow, Copenhagen, Vilnius, Minsk, Dublin, Berlin, "
    "Amsterdam, Warsaw, London, Brussels, Prague, Luxembourg, Paris, Vienna, Bratislava, Budapest, Vaduz, Chișinău, "
    "Bern, Ljubljana, Zagreb"
)
OPTIONS = "A) one\nB) two\nC) three\nD) four\nE) five"
QUESTIONS = [
    "Who painted Guernica?",
    "Which movement did Salvador Dalí belong to?",
    "In which city was the Bauhaus school of design founded in 1919?",
    "Which painter of the New York school became famous for dripping paint on canvases?",
]
LABELLED = [f"Question {number}: {asked}\n{OPTIONS}" for number, asked in enumerate(QUESTIONS, 1)]
CITIES = "ID,Country,City,Year,Count\n" + "\n".join(f"{n},Land {n},Town {n},20{n}0,{n}" for n in range(1, 8))
PRODUCTS = ["ProductID,Category,Brand,Price,Stock", *(f"{n},Toys,Brand{n},9.99,{n}" for n in range(1, 15))]
SPECIAL = [*PRODUCTS[:3], '3,Toys,"Smith & Sons",9.99,3', *PRODUCTS[4:]]
GRADES = [
    ["StudentID", "Subject", "Grade", "Semester", "Score"],
    *([str(n), "Art", "A", "Fall", "9"] for n in range(1, 4)),
]
QUOTED = ["\t".join(f'"{field}"' for field in row) for row in GRADES]
STORY = [
    f"{word} comes in."
    for word in (
        "Anna Ben Cora Dan Eva Finn Gina Hans Ida Jan Kim Leo Mia Nina Otto Pia Quinn Rosa Sam Tina Uma Vera Will "
        "Xena Yara Zoe"
    ).split()
]

CUSTOM: list[Case] = [
    (
        "custom:multiples",
        {},
        ["14, 21, 28, 35, 42, 49", "14\n21\n28\n35\n42\n49", "14,21,28,35,42,49"],
        ["7, 14, 21, 28, 35, 42, 49", "14, 21, 28, 35, 42", "49, 42, 35, 28, 21, 14", "10 to 50: 14 21 28 35 42 49"],
    ),
    (
        "custom:mcq_count_length",
        {},
        [
            "\n\n".join(LABELLED),
            "\n".join(text.replace(":", "\n", 1) for text in LABELLED),
            "\n".join(f"**{text.replace(':', '.**', 1)}" for text in LABELLED),
        ],
        [
            "\n\n".join(LABELLED[:3]),
            "\n\n".join(reversed(LABELLED)),
            "Here they are:\n" + "\n\n".join(LABELLED),
            "\n\n".join(text.replace("\nE) five", "") for text in LABELLED),
            "\n\n".join(text.replace("Question ", "") for text in LABELLED),
            "\n\n".join(LABELLED) + "\nExplanation: it was so.",
        ],
    ),
    (
        "custom:reverse_newline",
        {},
        [
            "\n".join(COUNTRIES),
            "Here they are:\n" + "\n".join(COUNTRIES),
            "\n".join(f"{n}. {name}" for n, name in enumerate(COUNTRIES, 1)),
            "\n".join(name for name in COUNTRIES if name not in ("Gambia", "Ethiopia")),
        ],
        [
            "\n".join(reversed(COUNTRIES)),
            "\n".join(COUNTRIES[:40]),
            ", ".join(COUNTRIES),
            "\n".join([*COUNTRIES[:5], COUNTRIES[6], COUNTRIES[5], *COUNTRIES[7:]]),
            "\n".join(["Zimbabwe", *(f"Y{n}" for n in range(99, 40, -1))]),
        ],
    ),
    (
        "custom:word_reverse",
        {},
        [".US the of symbol national the is eagle bald The", "Eagle bald", "america of symbol the is Eagle Bald the"],
        [
            "The bald eagle is the national symbol of the US.",
            "yekruT",
            "The bald eagle: eagle bald the",
            "eagle, the bald",
        ],
    ),
    (
        "custom:character_reverse",
        {},
        [".SU eht fo lobmys lanoitan eht si elgae dlab ehT", "elgae dlab", "Elgae Dlab"],
        ["The bald eagle", "eagle bald", "dlab elgae"],
    ),
    (
        "custom:sentence_alphabet",
        {},
        [" ".join(STORY), '"' + " ".join(STORY), "\n\n".join(STORY)],
        [" ".join(STORY[:25]), " ".join([*STORY, "Amen."]), " ".join([STORY[1], STORY[0], *STORY[2:]])],
    ),
    (
        "custom:european_capitals_sort",
        {},
        [
            CAPITALS,
            CAPITALS.replace("Brussels,", "Brussels, Kyiv,") + ".",
            CAPITALS.replace("í", "i").replace("ș", "s").replace("ă", "a"),
        ],
        [
            CAPITALS.replace(", Zagreb", ""),
            "Zagreb, " + CAPITALS.replace(", Zagreb", ""),
            CAPITALS.replace(", ", "\n"),
            CAPITALS.replace("Oslo", "Oslo (Norway)"),
        ],
    ),
    (
        "custom:csv_city",
        {},
        [CITIES, f"```csv\n{CITIES}\n```", CITIES.replace("Town 3", '"Town, 3"')],
        [
            CITIES.rpartition("\n")[0],
            CITIES.replace("Year,", ""),
            CITIES.replace(",", ";"),
            CITIES.replace("Town 3", "Town, 3"),
            CITIES.replace("City", "Town", 1),
        ],
    ),
    (
        "custom:csv_special_character",
        {},
        ["\n".join(SPECIAL), "\n".join(SPECIAL).replace(" & ", ", "), "```\n" + "\n".join(SPECIAL) + "\n```"],
        [
            "\n".join(PRODUCTS),
            "\n".join(SPECIAL).replace('"', ""),
            "\n".join(SPECIAL).replace(" & ", " and "),
            "\n".join(SPECIAL[:-1]),
        ],
    ),
    (
        "custom:csv_quotes",
        {},
        ["\n".join(QUOTED), "\n".join(QUOTED).replace("\t", "\t "), "```\n" + "\n".join(QUOTED) + "\n```"],
        [
            "\n".join(QUOTED).replace('"Art"', "Art", 1),
            "\n".join(QUOTED).replace("\t", ","),
            "\n".join(QUOTED[:3]),
            "\n".join(QUOTED).replace('"', ""),
        ],
    ),
    (
        "custom:date_format_list",
        {},
        ["1796-04-12, 1805-12-02", "1815-06-18", "1796-04-12,1800-06-14,1806-10-14"],
        [
            "12-04-1796",
            "1796-04-12; 1805-12-02",
            "1796-13-12",
            "1795-02-30",
            "1914-08-04",
            "On 1796-04-12",
            "1796-4-12",
        ],
    ),
]
