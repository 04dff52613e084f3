"""The upscaler against Lanczos on pictures it was not trained on, as JSON.

    python benchmarks/upscaler.py painted256.zip storybook256.zip avatars/ [--upscale FILE]

Of every source the pictures whose number ends in 9, as centred squares of --size (a picture of another size
is brought to it). Each is reduced to a half and a quarter (Pillow's Lanczos, 256 levels) and brought back to
its size by Lanczos and by the network, once or twice. Figures, with 256 levels:

- psnr: of the mean squared error over all pictures and channels, in dB.
- mobileface, untrained: distance to the picture itself in the space of that network's features, the mean over
  pictures of |f(made) - f(picture)| / |f(picture)|. MobileFace sees aligned faces at 112 px, the untrained
  network (features/untrained.py) all of the picture at its full size.
- average_gradient: mean over pixels of sqrt((dx^2 + dy^2) / 2) of grey levels 0..255 (ITU-R BT.601), with
  forward differences. Near to that of the pictures themselves is good; more is ringing or noise.

milliseconds: of the CPU, of one thread, for one picture from 128 to 512 px, the least of --repeats.
"""

import argparse
import fnmatch
import json
import time

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylegan_toon.data import centred, read_pictures
from stylegan_toon.features.mobileface import load_mobileface
from stylegan_toon.features.untrained import Untrained
from stylegan_toon.images import to_tensor, to_uint8
from stylegan_toon.nn.upscaler import Upscaler, enlarge
from stylegan_toon.pipelines.models import UPSCALER, load_upscaler


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sources", nargs="+")
    parser.add_argument("--upscale", default=UPSCALER)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--repeats", type=int, default=5)
    given = parser.parse_args()
    torch.set_num_threads(1)
    network = load_upscaler(given.upscale)
    face, untrained = load_mobileface(), Untrained()
    spaces = {"mobileface": lambda x: face(x)[1], "untrained": untrained}
    out: dict[str, object] = {"torch": torch.__version__, "size": given.size, "sources": {}}
    found = {}
    for source in given.sources:
        pictures = held_out(source, given.size)
        name = source.rstrip("/").rpartition("/")[2]
        found[name] = {"pictures": len(pictures), "average_gradient": gradient(pictures)}
        for factor in (2, 4):
            small = [p.resize((given.size // factor,) * 2, Image.Resampling.LANCZOS) for p in pictures]
            plain = [p.resize((given.size,) * 2, Image.Resampling.LANCZOS) for p in small]
            learnt = [by_network(network, p, given.size) for p in small]
            found[name][f"x{factor}"] = {
                way: figures(made, pictures, spaces)
                for way, made in (("lanczos", plain), ("network", learnt))
            }
    out["sources"] = found
    out["milliseconds"] = round(1000 * seconds(network, given.repeats), 1)
    print(json.dumps(out, indent=1))


def held_out(source: str, size: int) -> list[Image.Image]:
    """The pictures of a source whose number ends in 9."""
    named: list[tuple[str, Image.Image]] = []

    def make(name: str, data: bytes, picture: Image.Image) -> np.ndarray:
        if fnmatch.fnmatch(name, "*9.*"):
            named.append((name, centred(picture, size)))
        return np.zeros(0)

    read_pictures([source], make)
    return [picture for _, picture in sorted(named, key=lambda pair: pair[0])]


def by_network(network: Upscaler, picture: Image.Image, size: int) -> Image.Image:
    return Image.fromarray(to_uint8(enlarge(network, to_tensor(picture), size))[0])


def figures(made: list[Image.Image], wanted: list[Image.Image], spaces: dict) -> dict[str, float]:
    pairs = list(zip(made, wanted, strict=True))
    error = np.mean([np.square(np.asarray(a, float) - np.asarray(b, float)).mean() for a, b in pairs])
    out = {"psnr": round(10 * np.log10(255**2 / error), 2)}
    for name, look in spaces.items():
        gaps = [distance(look(to_tensor(a)), look(to_tensor(b))) for a, b in pairs]
        out[name] = round(float(np.mean(gaps)), 4)
    return out | {"average_gradient": gradient(made)}


def distance(a: Tensor, b: Tensor) -> float:
    return float((a - b).norm() / b.norm())


def gradient(pictures: list[Image.Image]) -> float:
    values = []
    for picture in pictures:
        grey = np.asarray(picture, float) @ [0.299, 0.587, 0.114]
        dx, dy = grey[:-1, 1:] - grey[:-1, :-1], grey[1:, :-1] - grey[:-1, :-1]
        values.append(np.sqrt((dx**2 + dy**2) / 2).mean())
    return round(float(np.mean(values)), 3)


def seconds(network: Upscaler, repeats: int) -> float:
    taken = []
    for _ in range(repeats):
        began = time.process_time()
        enlarge(network, torch.zeros(1, 3, 128, 128), 512)
        taken.append(time.process_time() - began)
    return min(taken)


if __name__ == "__main__":
    with torch.no_grad():
        main()
