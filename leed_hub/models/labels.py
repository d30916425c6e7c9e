"""The expression vocabulary: names, order, and each corpus' own names mapped onto it.

The order is AffectNet's (Mollahosseini et al. 2017, arXiv:1708.03985), so its integer labels 0..7 are ours.
"""

EXPRESSIONS = ("neutral", "happiness", "sadness", "surprise", "fear", "disgust", "anger", "contempt")
BASIC_EXPRESSIONS = EXPRESSIONS[:7]  # without contempt: AffectNet's 7-class protocol, FER2013, CFEE
UNLABELLED = -1  # what `ClassLabel` keeps for a row whose corpus gives no category

# Every spelling met in the corpora we read, lower case.
_ALIASES = {
    "neutral": "neutral",
    "neutrality": "neutral",
    "happy": "happiness",
    "happiness": "happiness",
    "happily": "happiness",
    "sad": "sadness",
    "sadness": "sadness",
    "surprise": "surprise",
    "surprised": "surprise",
    "fear": "fear",
    "fearful": "fear",
    "disgust": "disgust",
    "disgusted": "disgust",
    "anger": "anger",
    "angry": "anger",
    "contempt": "contempt",
    "contemptuous": "contempt",
}


def expression_name(name: str) -> str:
    """The vocabulary's name for a corpus' own spelling, such as "happy" or "Fearful".

    Raises:
        KeyError: if the spelling is not one we know.
    """
    return _ALIASES[name.strip().lower()]
