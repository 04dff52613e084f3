"""Which expression a text asks for, and what to compare it to."""

import re
from contextlib import suppress

from stylegan_toon.errors import UsageError
from stylegan_toon.features.clip import Clip

NEUTRAL = "a face"
MOODS = {  # beginnings of words, for each expression that the judge knows
    "sad": "sad|unhappy|upset|sorrow|gloomy|crying|depress|grief",
    "angry": "angr|mad|furious|annoyed|grumpy|enraged|rage",
    "happy": "happ|smil|joy|cheerful|glad|laugh",
    "surprise": "surpris|shock|amaze|astonish|startle",
    "fear": "fear|afraid|scared|frighten",
    "disgust": "disgust",
}
OTHERS = {
    "sad": "sad",
    "angry": "angry",
    "happy": "happy",
    "surprise": "surprised",
}  # a word for each of some
ADJECTIVE = re.compile(
    r"\b(?:sad|unhappy|upset|gloomy|crying|depressed|angry|mad|furious|annoyed|grumpy|enraged|happy|smiling|joyful|"
    r"cheerful|glad|laughing|surprised|shocked|amazed|astonished|startled|afraid|scared|frightened|disgusted)\b"
)


def mood_of(text: str) -> str | None:
    """The expression of the emotion network that a text names first, or None."""
    found = [(match.start(), mood) for mood, words in MOODS.items()
             if (match := re.search(rf"\b(?:{words})", text.lower()))]  # fmt: skip
    return min(found)[1] if found else None


def opposites(text: str, clip: Clip) -> tuple[str, ...]:
    """What a text is compared to unless told: of an expression the same words with others that clip knows."""
    found, mood = ADJECTIVE.search(text.lower()), mood_of(text)
    others = []
    for other, word in OTHERS.items() if found and mood else ():
        if other != mood and found:
            changed = f"{text[: found.start()]}{word}{text[found.end() :]}"
            article = "an" if word[0] in "aeiou" else "a"
            others.append(re.sub(rf"\ban? (?={word}\b)", f"{article} ", changed))
    known = []
    for other in others:
        with suppress(UsageError):
            clip.tokens([other])
            known.append(other)
    return tuple(known) or (NEUTRAL,)
