#!/usr/bin/env python3
"""The codes that `toon` learns from: tools/code_heads.py HEADS PHOTOS OUT

HEADS is what tools/draw_heads.mjs wrote. OUT gets, for `finetune --codes OUT --pairs`, a latent file of
every head and of its mirror image: the person whom the encoder of `faces` sees in it, in the head's mood as
the edits that ship change it; and photos.latent.safetensors, of the aligned squares in the folder PHOTOS and
their mirror images, without shifts. The mirrored heads are written to HEADS.
"""

import argparse
import json
from pathlib import Path

import torch
from PIL import Image, ImageOps

from stylegan_toon.data import load_pictures
from stylegan_toon.images import to_tensor
from stylegan_toon.pipelines.models import find_edit, load_encoder, load_generator
from stylegan_toon.stylegan2.edits import apply_edit, load_edit
from stylegan_toon.stylegan2.files import generator_checkpoint
from stylegan_toon.stylegan2.latent_files import SUFFIX, save_latents

SOURCE, CALM = "faces", "calm"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("heads", "photos", "out"):
        parser.add_argument(name, type=Path)
    given = parser.parse_args()
    given.out.mkdir(parents=True, exist_ok=True)
    encoder, g = load_encoder(SOURCE), load_generator(SOURCE)
    made = generator_checkpoint(g)
    with (given.heads / "moods.jsonl").open(encoding="utf-8") as lines:
        moods = {row["file"]: row["mood"] for row in map(json.loads, lines)}
    edited = {}
    for mood in {*moods.values()} - {CALM}:
        edit = load_edit(find_edit(mood))
        edited[mood] = apply_edit(g, g.broadcast(g.w_mean[None]), edit, edit.strength)[0]
    with torch.no_grad():
        for file, mood in moods.items():
            with Image.open(given.heads / file) as opened:
                head = opened.convert("RGB")
            for picture, name in (head, Path(file).stem), (ImageOps.mirror(head), f"{Path(file).stem}m"):
                if picture is not head:
                    picture.save(given.heads / f"{name}.png")
                code = calm = encoder(to_tensor(picture))
                if mood != CALM:  # what the encoder sees of the edit, which itself changes no code
                    after, before = (
                        net.synthesis(calm, "none")[-1].clamp(-1, 1) for net in (edited[mood], g)
                    )
                    code = calm + encoder(after) - encoder(before)
                save_latents(given.out / f"{name}{SUFFIX}", code, made, [name])
        photos = load_pictures([given.photos], g.config.resolution)
        photos = torch.cat([photos, photos.flip(3)]).float() / 127.5 - 1
        codes = torch.cat([encoder(part) for part in photos.split(16)])
    save_latents(given.out / f"photos{SUFFIX}", codes, made, [f"photo{i}" for i in range(len(codes))])


if __name__ == "__main__":
    main()
