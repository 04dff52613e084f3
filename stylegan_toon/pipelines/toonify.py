"""Photo in, cartoon out: detect, align, invert, draw with the blended generator, put back."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL import Image
from torch import Tensor

from stylegan_toon import __version__
from stylegan_toon.device import choose_device
from stylegan_toon.errors import InputError, shown
from stylegan_toon.faces.align import align
from stylegan_toon.faces.detect import Face, find_faces, select_faces
from stylegan_toon.faces.paste import paste
from stylegan_toon.features.mobileface import MobileFace, load_mobileface
from stylegan_toon.images import grid, list_images, load_image, save_png, to_tensor, to_uint8
from stylegan_toon.methods.invert import STEPS, refine
from stylegan_toon.pipelines.blend import nothing_changes
from stylegan_toon.pipelines.models import load_encoder, load_generator, open_model
from stylegan_toon.stylegan2.blend import Recipe, shared_resolutions
from stylegan_toon.stylegan2.blend import blend as blend_generators
from stylegan_toon.stylegan2.encoder import Encoder
from stylegan_toon.stylegan2.files import build_generator
from stylegan_toon.stylegan2.generator import Generator


@dataclass
class Result:
    """What became of one photo. Either path (one of its pictures) or error is set."""

    photo: Path
    path: Path | None = None
    error: str | None = None
    faces: list[dict[str, object]] = field(default_factory=list)
    seconds: float = 0.0  # for the photo, from opening it to its last picture


class Toonifier:
    """The loaded models of one style, ready for any number of photos."""

    def __init__(
        self,
        style: str = "storybook",
        source: str = "faces",
        blend: int | Recipe | None = None,
        device: str = "auto",
        report: Callable[[str], None] = lambda text: None,
    ):
        """Load source, style and encoder, and blend.

        Args:
            blend: a recipe, or how many resolutions, from 4x4 up, come from the source; None takes the
                style's own.
        Raises: ModelError, UsageError (blend out of range), MissingPartError (device).
        """
        self.device = choose_device(device)
        self.source = load_generator(source, self.device)
        made = open_model(style, "generator")
        child = build_generator(made).to(self.device)
        self._child = child
        self.set_blend(int(made.meta.get("blend", 0)) if blend is None else blend)
        shares = self.recipe.shares(self.source.config.n_resolutions)
        if blend and nothing_changes(shares, shared_resolutions(self.source, child)):
            report(f"{self.recipe} is the same as --blend 0: {style} shares these resolutions with {source}")
        self.style, self._source_name = style, source
        self._face: MobileFace | None = None
        self._encoder: Encoder | None = None

    def set_blend(self, how: int | Recipe) -> None:
        """Blend by a recipe, or with the k lowest resolutions of the source. Raises: UsageError."""
        self.recipe = Recipe(how) if isinstance(how, int) else how
        self.cartoon = blend_generators(self.source, self._child, self.recipe)

    def embed(self, pictures: Tensor) -> Tensor:
        """Identity embeddings [N, F] of aligned pictures."""
        if self._face is None:
            self._face = load_mobileface(device=self.device)
        return self._face(pictures)[0]

    def invert(self, photos: Tensor, steps: int = 0) -> Tensor:
        """w_plus [N, L, D] of aligned photos [N, 3, R, R] in [-1, 1]: the encoder, then optimisation."""
        if self._encoder is None:
            self._encoder = load_encoder(self._source_name, self.device)
        with torch.no_grad():
            w_plus = self._encoder(photos)
        return refine(self.source, photos, w_plus, steps, self.embed)

    def draw(self, w_plus: Tensor, generator: Generator | None = None) -> Tensor:
        """Cartoons [N, 3, R, R] of codes, or what another generator of the family draws."""
        with torch.inference_mode():
            return (generator or self.cartoon).synthesis(w_plus, "none")[-1].clamp(-1, 1)

    def crops(self, photo: Image.Image, faces: Sequence[Face]) -> Tensor:
        """[N, 3, R, R] in [-1, 1]: the aligned squares of the faces."""
        size = self.source.config.resolution
        return torch.cat([to_tensor(align(photo, face.points, size)) for face in faces]).to(self.device)


def toonify_files(
    photos: Sequence[str] = (),
    style: str = "storybook",
    source: str = "faces",
    blend: int | Recipe | None = None,
    refine: int = 0,
    refine_steps: int | None = None,
    faces: str | int = "all",
    size: int | None = None,
    crop_only: bool = False,
    out: str = "out",
    device: str = "auto",
    seed: int = 0,
    report: Callable[[str], None] = lambda text: None,
) -> Iterator[Result]:
    """Turn the faces of photos (files and folders) into cartoons: a Result a picture or failed photo.

    Without photos one grid of source | cartoon pairs is drawn from codes of seed.
    Args:
        refine: 0 to 3, an index into methods.invert.STEPS; refine_steps overrides it.
        size: edge of the crop with crop_only; None is the model's.
        out: the folder; folders among photos are mirrored in it. No input is overwritten.
    Raises: ModelError, UsageError, MissingPartError, DiskError; a photo's own failure is its Result's error.
    """
    toonifier = Toonifier(style, source, blend, device, report)
    about = {"Software": f"stylegan-toon {__version__}", "style": style, "blend": str(toonifier.recipe)}
    if not photos:
        path = Path(out) / f"{Path(style).stem}-pairs.png"
        save_png(path, _pairs(toonifier, seed), {**about, "seed": str(seed)})
        yield Result(Path(), path)
        return
    steps = STEPS[refine] if refine_steps is None else refine_steps
    for file, relative in list_images(photos):
        began = time.perf_counter()
        try:
            photo = load_image(file)
            found = select_faces(find_faces(photo), faces)
            if not found:
                raise InputError(
                    f"no face found in {shown(file)} ({photo.width}x{photo.height}); try a larger or less "
                    "covered face, upright and towards the camera"
                )
            torch.manual_seed(seed)
            cartoons = toonifier.draw(toonifier.invert(toonifier.crops(photo, found), steps))
        except InputError as error:
            yield Result(file, error=str(error), seconds=time.perf_counter() - began)
            continue
        notes = [{"box": [round(float(v), 1) for v in f.box], "score": round(f.score, 3)} for f in found]
        base = _free(Path(out) / relative.with_suffix(".png"), file)
        if crop_only:
            for i, cartoon in enumerate(cartoons):
                path = base if i == 0 else base.with_name(f"{base.stem}-face{i + 1}.png")
                save_png(path, _picture(cartoon, size), about)
                yield Result(file, path, faces=[notes[i]], seconds=time.perf_counter() - began)
        else:
            squares = [_picture(cartoon) for cartoon in cartoons]
            whole, _ = paste(photo, list(zip(squares, (face.points for face in found), strict=True)))
            save_png(base, whole, about)
            yield Result(file, base, faces=notes, seconds=time.perf_counter() - began)


def _free(path: Path, photo: Path) -> Path:
    """path, or one beside it where it is the photo itself."""
    return path.with_name(f"{path.stem}-toon.png") if path.absolute() == photo.absolute() else path


def _picture(cartoon: Tensor, size: int | None = None) -> Image.Image:
    picture = Image.fromarray(to_uint8(cartoon[None])[0])
    return picture if size is None else picture.resize((size, size), Image.Resampling.LANCZOS)


def _pairs(toonifier: Toonifier, seed: int, rows: int = 4) -> Tensor:
    """[3, rows * R, 8 * R]: four source | cartoon pairs a row, psi 0.7."""
    g = toonifier.source
    z = torch.randn(4 * rows, g.config.z_dim, generator=torch.Generator().manual_seed(seed)).to(
        toonifier.device
    )
    with torch.inference_mode():
        w_plus = g.w_mean + 0.7 * (g.broadcast(g.mapping(z)) - g.w_mean)
    pairs = torch.stack([toonifier.draw(w_plus, g), toonifier.draw(w_plus)], 1)
    return grid(pairs.flatten(0, 1), 8)
