"""What make_cards.py says of the models beside the figures: data and credits, what they are like, their limits."""

STYLES = {
    "painted": (
        "toon_painted/painted128.zip",
        "1,738 captioned digital paintings, of which those whose number ends in 9 are held out. CC BY 4.0; credit: "
        "artflow.ai (creator and copyright holder), collected by initiative-sh; selected, aligned, resized.",
    ),
    "storybook": (
        "toon_painted/storybook256.zip",
        "141 digital paintings in the manner of animation films, of which those whose number ends in 9 are held "
        "out. CC BY 4.0; credit: artflow.ai (creator and copyright holder), collected by initiative-sh; selected, "
        "aligned, resized.",
    ),
    "avatar": (
        "toon_avatars/avataaars128.zip",
        "1,500 drawn avatars. Design: avataaars by Pablo Stanley, free for personal and commercial use; drawn with "
        "DiceBear (MIT).",
    ),
}
# Style files that were taught by drawings alone: the look of tools/make_drawings.py, and what it is like.
SMALL = {
    "comic": "a comic: few tones, dark lines, rich colours",
    "ink": "ink on paper: black hair and lines, white skin",
    "flat": "flat colours and larger eyes, without lines",
}
# What small_card says of these, and of those that other drawn heads taught, beside LIMITS.
SHOWN = (
    "the cartoons above and the figures below have them, and the photo's own detail ([how](../docs/upscaling.md#the-photos-own-detail)),\n"
    "  but for the dial and random samples."
)
BLIND = (
    "Filter and weights were chosen by eye on training photos, the bundled portrait and five demo portraits of members\n"
    "  of Congress. MobileFace, which finds the person below, was in the losses of refinement and of the style.\n"
    "  Eyes, finish and detail were set by eye on nine demo portraits, of two of whose people photos are in the table of gates."
)
BY_DRAWINGS = {
    "goal": "200 drawings of members of Congress",
    "data": "284 training photos of faces-128, drawn by a filter of this project (`tools/make_drawings.py --look {style}`).",
    "training": "draws of the photos' codes, half of them blended at K = 3, by the\n"
    "  gap to the drawings alone, without a discriminator ([how](../docs/finetuning.md#drawings-of-known-photos)).",
    "random": " Random codes, which no photo has, were never drawn in training, and random\n"
    "  samples are nearer to photos than to the drawings. The drawn sets among the sample pictures look otherwise.",
    "shown": SHOWN,
    "blind": BLIND,
}
OTHERS = {"toonhead": "toon_avatars/toonhead128.zip", "toon": "toon_avatars/toonhead128.zip"}
TAUGHT = {
    "toonhead": {
        "what": "a drawn head: black brows and lashes, clear eyes, the person's skin in few tones",
        "goal": "1,000 drawn heads, of which it learnt from 900",
        "data": "900 drawn heads (every tenth of 1,000 held out): ToonHead by Johan Melin, CC BY 4.0, drawn with DiceBear (MIT), open mouths\n"
        "  by `tools/redraw_heads.py`; and 602 training photos of faces-128 in a few flat tones (`tools/make_drawings.py --look flat`).",
        "training": "draws, half of them blended at K = 3, three quarters of the codes those of the photos, by a\n"
        "  discriminator that knows the drawn heads, low-pass and perceptual losses, and the gap to the flat drawings\n"
        "  ([how](../docs/finetuning.md#drawings-of-known-photos), [more](../docs/training.md)).",
        "random": " Its settings were chosen by eye from two runs, on eight demo portraits, of two of whose people photos are in the table;\n"
        "  the heads of those runs had pale open mouths, and this is one more run with them whole.",
        "shown": SHOWN,
        "blind": BLIND,
    },
    "toon": {
        "what": "the person as a cartoon character, with large eyes and a small mouth, as a square to use as an avatar",
        "goal": "1,000 drawn heads of another set, of which it saw none, with pastel backgrounds where it draws the photo's",
        "data": "4,310 heads drawn for it, a calm one and one in a mood for each of 2,155 training photos of faces-128, with the hair, skin, clothes\n"
        "  and background that faces-128 draws of the photo's code (`tools/heads_of_codes.py`, `tools/draw_heads.mjs`): ToonHead by Johan Melin, CC BY 4.0,\n"
        "  closed mouths made darker, drawn with DiceBear (MIT). Before them 2,400 heads without photos.",
        "training": "draws in its last run, of the photos' codes, changed by the ready edits of their heads' moods, by a\n"
        "  discriminator that knows the heads and the gap to each code's own (`finetune --pairs 10 --moods`, [how](../docs/finetuning.md#shapes-of-the-styles-own)); 20,000 such draws came\n"
        "  before, and 49,600 of the people whom the encoder sees in drawn heads (`--inverted`).\n"
        "  `toonify` draws it in the mood that a small network sees in the photo.",
        "random": "",
        "shown": "the cartoons above and the figures below have the finish, and nothing of the photo's detail; the dial and random\n"
        "  samples are the model's own.",
        "blind": "Chosen by eye on the nine demo portraits, of two of whose people photos are in the table. The table's first gates are\n"
        "  for styles that keep the person's shapes; this one does not, and they are shown to say how much of a person is left. The emotion network\n"
        "  that judges who is happier here is the one that told `toonify` the mood, and hardly tells a laughing drawn head from a calm one.",
    },
}
LIMITS = {
    "toon": "Hair (none, short or long), skin, clothes, background and one of four moods are told from the photo; who it is, glasses and the turn of the head are not, "
    "as codes without shifts hardly know them, and hair that is put up, or curly, is drawn short. A sad mouth is level rather than down. Skin of middle tones may be blotchy under the lines, shadows "
    "stay beside the neck, and grey hair turns brown.",
    "toonhead": "Shapes are the person's, so it is a portrait in the manner of the drawn heads rather than such a head. Skin goes "
    "orange where the photo's light is warm; thin rims of glasses fade. With --detail 0 eyes tear apart at K = 0 (K = 1 and 2 were not looked at).",
    "comic": "Wrinkles become black lines, more so in faces that fill few pixels; skin of every lightness goes "
    "orange where the photo's light is warm. --finish paint has no lines, --finish comic more tones.",
    "ink": "A dark background turns black as a whole, and one of middle tones to a soft grey; pale hair is left white. "
    "--finish paint shows what the model itself draws, with shades and tints.",
    "flat": "Near to a retouched photo where --finish paint leaves the tones to the model.",
    "painted": "Near to the photo: shapes, features and most colours are the person's, light the paintings', texture that of strokes; skin goes "
    "grey under hair and round the eyes. With --detail 0 mouths at times twist at one corner, and hair turns to strands with hard rims.",
    "storybook": "The person as a drawing with large eyes rather than a figure of an animation film; deep wrinkles become "
    "black lines, and pale skin goes grey or violet. With --finish paint it is a soft painting. With --detail 0 loose strands beside the "
    "face get coloured rims, eyes of large faces smear, hair turns blotchy on one side.",
    "avatar": "A comic with the flat orange skin of the avatars, whatever its own lightness, rather than an avatar: its shapes are the person's. One lid may "
    "go white. With --detail 0 at K = 0 to 2 some faces fall apart, beards become shade, and teeth of a wide smile run into a light band.",
}
ALONE = ("toon",)  # of these: squares, not parts of the photo
SHEET = ("storybook", "comic", "painted", "flat", "ink", "avatar", "toonhead", "toon")
GATES = {  # of a style, in benchmarks/gates.py: what is told, the gate, and where it stands
    "the person first of 50, cartoon against photo (95 %)": ("60 %", ("first_of_50",)),
    "the same, darkest third of the photos": ("at most 10 points apart", ("by_skin", "dark")),
    "the same, lightest third": ("at most 10 points apart", ("by_skin", "light")),
    "the cartoon of the smiling photo is judged happier, of pairs": ("85 %", ("happier",)),
    "KID to the style at K = 4, of that of the inversions, MobileFace": (
        "at most 0.6",
        ("kid", "mobileface"),
    ),
    "the same, untrained network": ("at most 0.6", ("kid", "untrained")),
    "KID of samples to the style, of that of its source's, MobileFace": (
        "at most 0.2",
        ("target", "mobileface"),
    ),
    "the same, untrained network ": ("at most 0.2", ("target", "untrained")),
    "distance to the nearest training picture, of that among these": ("", ("nearest",)),
    "dial in 21 stops: largest step by the mean one, pixels": ("at most 2", ("dial", "pixels")),
    "the same, features": ("at most 2", ("dial", "features")),
    "dial: Spearman's correlation with the style, MobileFace": ("0.95", ("dial", "spearman")),
    "the same, untrained network  ": ("0.95", ("dial", "spearman_untrained")),
}
HISTORY = {
    "painted": "The number above is of the last of three runs; 16,712 pictures came before. Its training pictures hold near "
    "copies of 16 that storybook's card calls held out.",
    "storybook": "The number above is of the last of four runs, with shifts of three resolutions; as painted it had seen 13,512 "
    "pictures before, as storybook 15,200. painted's pictures hold near copies of 16 of those held out here, so nothing of this style is "
    "cleanly held out.",
    "avatar": "The number above is of the last of eight runs; 12,216 pictures of all 1,500 and 24,696 of the 440 that "
    "avatar-exclude.txt leaves came before. Figures are against all 1,500.",
}
SOFT = (
    " At the end nine tenths were those of 284 photos, and beside the discriminator it learnt from these photos, softened and with larger "
    "eyes (`tools/make_drawings.py --look soft`; [how](../docs/finetuning.md#drawings-of-known-photos)). That made faces clean, at the "
    "price of style: by KID at K = 0 to 2, of samples and at K = 4 the child was nearer to the style before (storybook's samples "
    "0.39 and 0.16 of the source's, painted's 0.31 and 0.03), and it was kept for the look of people's photos."
)
DRAWN = {
    "painted": SOFT,
    "storybook": SOFT,
    "avatar": " At the end nine tenths were those of 284 photos, and in the last two runs it learnt beside the discriminator from these "
    "photos in a few flat tones (`tools/make_drawings.py --look flat`; [how](../docs/finetuning.md#drawings-of-known-photos)). That "
    "closed mouths and opened eyes, at the price of style: samples were at 0.39 and 0.31 of the source's KID before.",
}
BEGAN = {"storybook": ", begun as [painted](painted-128.md)"}  # --start in tools/make_models.sh
PHOTO_DATA = (
    "6,542 aligned photos at 128 px, mirrored: official portraits of members of the US Congress (public domain), "
    "one press photo each of 3,012 people of Labeled Faces in the Wild (research use), and pictures of a set of "
    "synthetic people (no licence stated; private). 525 pictures of people who look, or may look, under 18 were left "
    "out (`faces-exclude.txt`). Held out: every picture whose number ends in 9, and the Face Research Lab London set, "
    "the Canada set and composites (CC BY 4.0, DeBruine and Jones, doi 10.6084/m9.figshare.5047666, 4220517, 4055130)."
)
