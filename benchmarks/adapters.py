"""How much of a style fits into a style file: teach each kind of file the pictures of a shipped style; JSON.

python benchmarks/adapters.py [--steps 60] [--style storybook-128] [--parent faces-128]

The teacher is the shipped style, of which every weight was trained; the pupil is its parent with only those
parameters free that a kind of file holds. Both draw the same codes at 32 px, and Adam lowers the mean squared
difference, which is then taken on 64 other codes. It shows what the parameters can express and how fast, not
how well a GAN finds it.
"""

import argparse
import json
import math

import torch
from torch.optim import Adam

from stylegan_toon.pipelines.models import load_generator, open_model
from stylegan_toon.stylegan2.adapters import FACTORS, add_lora, style_parameters
from stylegan_toon.stylegan2.files import build_generator
from stylegan_toon.stylegan2.generator import Generator

UPTO, FROZEN, BATCH = 4, 1, 6  # resolutions: 32 px; 4x4 is frozen, as finetune has it
KINDS = {  # the ends of the names of what is free, and the rank
    "styles": (("affine.bias",), 0),
    "styles and toRGB": (("affine.bias", "to_rgb.bias"), 0),
    "offsets": (("bias",), 0),
    **{f"lora {rank}": (("bias", *FACTORS), rank) for rank in (2, 8, 16)},
}


def gap(pupil: Generator, teacher: Generator, w_plus: torch.Tensor) -> torch.Tensor:
    pictures = [g.synthesis(w_plus, "none", upto=UPTO)[-1] for g in (pupil, teacher)]
    return (pictures[0] - pictures[1]).square().mean()


def learnt(parent: str, teacher: Generator, kind: str, lr: float, steps: int) -> dict[str, float]:
    """The gap that is left, and how many numbers of these resolutions were free."""
    ends, rank = KINDS[kind]
    torch.manual_seed(0)
    pupil = build_generator(open_model(parent), trainable=True).requires_grad_(False)
    if rank:
        add_lora(pupil, rank, FROZEN).requires_grad_(False)
    names = style_parameters(pupil, FROZEN).items()
    free = [p for name, p in names if name.endswith(ends) and int(name.split(".")[2]) < UPTO]
    for parameter in free:
        parameter.requires_grad_(True)
    opt = Adam(free, lr, (0.0, 0.99))
    for _ in range(steps):
        with torch.no_grad():
            w_plus = pupil.broadcast(pupil.mapping(torch.randn(BATCH, pupil.config.z_dim)))
        loss = gap(pupil, teacher, w_plus)
        opt.zero_grad()
        loss.backward()
        opt.step()
    torch.manual_seed(99)
    with torch.no_grad():
        left = gap(pupil, teacher, pupil.broadcast(pupil.mapping(torch.randn(64, pupil.config.z_dim))))
    return {"left": round(float(left), 5), "free": sum(math.prod(p.shape) for p in free)}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--steps", type=int, default=60)
    parser.add_argument("--style", default="storybook-128")
    parser.add_argument("--parent", default="faces-128")
    options = parser.parse_args()
    torch.set_num_threads(1)
    teacher = load_generator(options.style)
    report = {"steps": options.steps, "style": options.style, "parent": options.parent,
              "untaught": learnt(options.parent, teacher, "offsets", 0.002, 0)["left"]}  # fmt: skip
    for lr in (0.002, 0.01):
        report[f"lr {lr}"] = {
            kind: learnt(options.parent, teacher, kind, lr, options.steps) for kind in KINDS
        }
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
