"""tools/code_heads.py on a few heads of our own: a code of each and of its mirror image, moods, photos."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw, ImageOps

from stylegan_toon.images import to_tensor
from stylegan_toon.pipelines.models import load_encoder
from stylegan_toon.stylegan2.latent_files import load_latents


def head(hair):
    picture = Image.new("RGB", (128, 128), "#d8d8d8")
    pen = ImageDraw.Draw(picture)
    pen.ellipse((28, 10, 100, 110), hair)
    pen.ellipse((36, 30, 92, 112), "#f1c3a5")
    for x in (48, 72):
        pen.ellipse((x, 58, x + 10, 70), "#2c1b18")
    pen.line((54, 94, 70, 96), "#803030", 3)
    return picture


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    place = tmp_path_factory.mktemp("heads")
    moods = {"00000.png": "calm", "00001.png": "happy", "00002.png": "sad"}
    for folder in ("heads", "photos"):
        (place / folder).mkdir()
    for (name, _), hair in zip(moods.items(), ("#1a1a1a", "#d6b370", "#a55728"), strict=True):
        head(hair).save(place / "heads" / name)
    rows = [json.dumps({"file": name, "mood": mood}) for name, mood in moods.items()]
    (place / "heads/moods.jsonl").write_text("\n".join(rows) + "\n")
    for name in "ab":
        head("#2c1b18" if name == "a" else "#8c8c8c").save(place / "photos" / f"{name}.png")
    tool = Path(__file__).parents[1] / "tools" / "code_heads.py"
    command = [sys.executable, tool, place / "heads", place / "photos", place / "codes"]
    subprocess.run([str(word) for word in command], check=True)
    return place


def code(place, name):
    return load_latents(place / "codes" / f"{name}.latent.safetensors")[0]


def test_a_calm_head_has_the_code_that_the_encoder_gives_and_others_are_moved_towards_their_mood(made):
    encoder = load_encoder("faces")
    with torch.no_grad():
        for name, moved in (("00000", False), ("00001", True), ("00002", True)):
            picture = Image.open(made / "heads" / f"{name}.png").convert("RGB")
            for own, of in ((name, picture), (f"{name}m", ImageOps.mirror(picture))):
                away = float((code(made, own) - encoder(to_tensor(of))).abs().mean())
                assert (away > 1e-3) == moved, (own, away)


def test_mirrored_heads_are_written_and_photos_come_with_their_mirror_images(made):
    first, turned = (Image.open(made / "heads" / f"00000{end}.png").convert("RGB") for end in ("", "m"))
    assert ImageOps.mirror(first).tobytes() == turned.tobytes()
    encoder = load_encoder("faces")
    photos = [Image.open(made / "photos" / f"{name}.png").convert("RGB") for name in "ab"]
    with torch.no_grad():
        wanted = encoder(torch.cat([to_tensor(one) for one in (*photos, *map(ImageOps.mirror, photos))]))
    torch.testing.assert_close(code(made, "photos"), wanted, atol=1e-3, rtol=1e-3)
