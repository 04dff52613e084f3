"""The words of clip-faces: what each group of labels is called, prompts and captions from labels, labels from captions."""

import re

import numpy as np
import torch

from stylegan_toon.features.clip_words import PIECE, Words
from stylegan_toon.features.compat import clip_module

STYLES = {
    "photo": ("photo", "photograph", "portrait photo"),
    "painting": ("painting", "digital painting", "painted portrait"),
    "cartoon": ("cartoon", "cartoon drawing", "comic"),
    "ink": ("ink drawing", "line drawing", "drawing"),
}
MOODS = {
    "happy": ("happy", "smiling", "joyful", "cheerful", "glad", "laughing"),
    "sad": ("sad", "unhappy", "upset", "sorrowful", "gloomy", "crying", "depressed"),
    "angry": ("angry", "mad", "furious", "annoyed", "grumpy", "enraged"),
    "surprised": ("surprised", "shocked", "amazed", "astonished", "startled"),
    "neutral": ("neutral", "calm", "serious", "expressionless", "relaxed"),
}
NOUNS = {
    "happy": ("happiness", "joy", "a smile", "a big smile"),
    "sad": ("sadness", "grief", "sorrow"),
    "angry": ("anger", "rage"),
    "surprised": ("surprise", "an open mouth"),
    "neutral": ("no expression",),
}
HAIR = {
    "black": ("black",),
    "brown": ("brown", "brunette"),
    "auburn": ("auburn", "reddish brown"),
    "blond": ("blond", "blonde", "yellow", "golden"),
    "red": ("red", "ginger", "orange"),
    "gray": ("gray", "grey", "silver"),
    "white": ("white",),
    "blue": ("blue",),
    "purple": ("purple", "violet"),
    "green": ("green",),
    "pink": ("pink",),
}
GLASSES = {
    "none": ("no glasses", "no eyeglasses"),
    "glasses": ("glasses", "eyeglasses", "spectacles"),
    "sunglasses": ("sunglasses", "dark glasses"),
}
BEARD = {
    "none": ("no beard", "a shaved chin"),
    "beard": ("a beard", "a mustache", "a moustache", "facial hair"),
}
PERSON = {"man": ("man", "guy", "male person"), "woman": ("woman", "lady", "female person")}
GROUPS = {"mood": MOODS, "hair": HAIR, "glasses": GLASSES, "beard": BEARD, "person": PERSON, "style": STYLES}
ADVERBS = ("", "", "", "really", "really", "very", "extremely", "so", "truly", "quite")
PREFIXES = (
    "",
    "",
    "a photo of ",
    "a picture of ",
    "a portrait of ",
    "an image of ",
    "a painting of ",
    "a cartoon of ",
    "a drawing of ",
)
CORES = ("face", "face", "person", "head", "character")
PROMPTS = {
    "mood": ("a {adverb} {word} {core}", "a {adverb} {word} {core}", "a {core} that looks {adverb} {word}", "a {core} who is {adverb} {word}",
             "a {core} with a {adverb} {word} expression", "the {core} is {adverb} {word}", "someone {adverb} {word}", "{word}"),
    "hair": ("a {core} with {word} hair", "{word} hair", "a {word} haired {core}", "the hair is {word}"),
    "glasses": ("a {core} with {word}", "a {core} wearing {word}", "{word}"),
    "beard": ("a {core} with {word}", "a {core} who has {word}", "{word}"),
    "person": ("a {word}", "the {word}", "the face of a {word}"),
    "style": ("a {word} of a {core}", "a {word}", "this is a {word}"),
}  # fmt: skip
TEMPLATES = tuple(text for texts in PROMPTS.values() for text in texts)
EXTRA = ("and with wearing of a an the . , !",)
FACE_WORDS = frozenset(
    re.findall(
        "[a-z]+",
        """
a an and with the of in is has no not very really old young elderly aged middle teenage adult man men woman women male female
person face head portrait hair haired long short medium curly wavy straight messy spiky bald balding thick thin black brown
brunette blonde blond red ginger auburn gray grey silver white blue green purple violet pink orange yellow golden dark light pale
tan tanned fair skin skinned eyes eyed eye lips nose ears cheeks chin jaw mouth teeth forehead beard bearded mustache moustache
goatee stubble glasses sunglasses freckles freckled wrinkles wrinkled smile smiling laughing grinning grin happy sad angry serious
grumpy crying surprised scared afraid tired sleepy neutral calm stern frowning big small large sharp round square wide chubby slim
handsome pretty beautiful cute strong makeup bun braids braided ponytail bangs mohawk afro hat earrings painting painted cartoon
drawing photo looking looks expression smirk joyful cheerful furious melancholic gloomy shocked worried
""",
    )
)
# Paintings: the words of a caption that say something of a group.
MALE = {
    "man",
    "men",
    "guy",
    "male",
    "king",
    "prince",
    "lord",
    "wizard",
    "gentleman",
    "duke",
    "emperor",
    "boyfriend",
    "father",
    "grandfather",
    "uncle",
    "businessman",
    "cowboy",
    "dude",
    "sorcerer",
}
FEMALE = {
    "woman",
    "women",
    "female",
    "lady",
    "princess",
    "queen",
    "witch",
    "goddess",
    "girl",
    "duchess",
    "mother",
    "grandmother",
    "aunt",
    "sorceress",
    "empress",
}
MOOD_WORDS = {"smiling": "happy", "happy": "happy", "laughing": "happy", "grinning": "happy", "joyful": "happy", "cheerful": "happy",
              "sad": "sad", "crying": "sad", "melancholic": "sad", "gloomy": "sad", "angry": "angry", "furious": "angry",
              "grumpy": "angry", "surprised": "surprised", "shocked": "surprised"}  # fmt: skip


def index(group: str, name: str | None) -> int:
    return list(GROUPS[group]).index(name) if name in GROUPS[group] else -1


def labels(**known: str | None) -> list[int]:
    """The place of each known name in its group; -1 where nothing is known."""
    return [index(group, known.get(group)) for group in GROUPS]


def of_caption(caption: str) -> dict[str, str]:
    """What a painting's caption says of the groups."""
    words = re.findall("[a-z]+", caption)
    found = {"style": "painting"}
    for colour, names in HAIR.items():
        if re.search(rf"\b({'|'.join(names)})( \w+)? hair(ed)?\b|\b({'|'.join(names)}) ?haired\b", caption):
            found["hair"] = colour
    if {"blonde", "blond"} & set(words):
        found["hair"] = "blond"
    if {"redhead", "ginger", "redheaded"} & set(words):
        found["hair"] = "red"
    if "brunette" in words:
        found["hair"] = "brown"
    moods = {MOOD_WORDS[word] for word in words if word in MOOD_WORDS}
    if len(moods) == 1:
        found["mood"] = moods.pop()
    if set(words) & {"beard", "bearded", "mustache", "moustache", "goatee"}:
        found["beard"] = "beard"
    if "sunglasses" in words or "glasses" in words:
        found["glasses"] = "sunglasses" if "sunglasses" in words else "glasses"
    male, female = bool(set(words) & MALE), bool(set(words) & FEMALE)
    if male != female:
        found["person"] = "man" if male else "woman"
    return found


class Texts:
    """Captions and prompts with the words of the groups, and the numbers of their words."""

    def __init__(self, captions: list[str]):
        self.pair = clip_module("simple_tokenizer").SimpleTokenizer()
        said = [*captions, *TEMPLATES, *ADVERBS, *PREFIXES, *CORES, *EXTRA]
        said += [word for group in (*GROUPS.values(), NOUNS) for names in group.values() for word in names]
        spoken = " ".join(said)
        words = sorted(set(PIECE.findall(re.sub("{.*?}", " ", spoken).lower())))
        self.known = {word: self.pair.encode(word) for word in words}
        self.words = Words(self.known)

    def tokens(self, texts: list[str]) -> torch.Tensor:
        rows = [[self.words.begin, *self.words.encode(text), self.words.end] for text in texts]
        out = torch.zeros(len(rows), max(map(len, rows)), dtype=torch.long)
        for i, row in enumerate(rows):
            out[i, : len(row)] = torch.tensor(row)
        return out


def face_words(caption: str) -> str:
    """A painting's caption without the words that say nothing of a face: the small model has no use for wizards."""
    return " ".join(word for word in re.findall("[a-z]+", caption) if word in FACE_WORDS)


def an(text: str) -> str:
    return re.sub(r"\ba (?=[aeio]|unhappy|upset)", "an ", re.sub(" +", " ", text)).strip()


def prompts(rng: np.random.Generator) -> list[str]:
    """One text for each member of each group; those of a group differ in that member alone."""

    def pick(options):
        return options[rng.integers(len(options))]

    out = []
    for group, members in GROUPS.items():
        adverb, core, prefix = pick(ADVERBS), pick(CORES), pick(PREFIXES)
        template = pick(PROMPTS[group])
        noun = group == "mood" and rng.random() < 0.15
        for name, names in members.items():
            word = pick(NOUNS[name]) if noun else names[0] if rng.random() < 0.5 else pick(names)
            text = "a {core} with {word}" if noun else template
            out.append(an(prefix + text.format(word=word, adverb=adverb, core=core)))
    return out


def caption(row: np.ndarray, said: str, rng: np.random.Generator) -> tuple[str, list[bool]]:
    """A text that is true of a picture with these labels, and which groups it mentions."""

    def pick(options):
        return options[rng.integers(len(options))]

    names = {g: list(GROUPS[g])[k] if k >= 0 else None for g, k in zip(GROUPS, row, strict=True)}
    use = {g: name is not None and rng.random() < (0.9 if g == "mood" else 0.45) for g, name in names.items()}
    word = {g: pick(GROUPS[g][names[g]]) for g in GROUPS if use[g]}
    if said:
        known = of_caption(said)
        mood = f"{word['mood']} " if use["mood"] and "mood" not in known else ""
        use = {g: (g == "mood" and bool(mood)) or g in known for g in GROUPS}
        return an(pick(("", "", "a painting of ")) + mood + said), [use[g] for g in GROUPS]
    core = word["person"] if use["person"] else pick(CORES)
    text = f"a {core}"
    if use["mood"]:
        text = pick(PROMPTS["mood"][:6]).format(word=word["mood"], adverb=pick(ADVERBS), core=core)
    rest = [f"with {word['hair']} hair"] if use["hair"] else []
    rest += [f"{pick(('with', 'wearing'))} {word['glasses']}"] if use["glasses"] else []
    rest += [f"with {word['beard']}"] if use["beard"] else []
    rng.shuffle(rest)
    prefix = f"a {word['style']} of " if use["style"] else pick(PREFIXES)
    return an(f"{prefix}{text} {' and '.join(rest)}"), [use[g] for g in GROUPS]
