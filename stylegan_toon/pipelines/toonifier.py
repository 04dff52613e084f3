"""The loaded models of one style: from a photo's faces to cartoons, enlarged, finished and put back."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from stylegan_toon.errors import ModelError, UsageError, shown
from stylegan_toon.exact import normal
from stylegan_toon.faces.align import align, side
from stylegan_toon.faces.detect import Face
from stylegan_toon.faces.paste import paste
from stylegan_toon.features.emotion import EXPRESSIONS, load_emotion
from stylegan_toon.images import grid, to_levels, to_tensor, to_uint8
from stylegan_toon.metadata import file_entry
from stylegan_toon.methods.expression import changed
from stylegan_toon.methods.invert import STEPS, Inversion
from stylegan_toon.nn.finish import FINISHES, finished
from stylegan_toon.nn.guided import along_photo, changed_photo
from stylegan_toon.nn.kuwahara import kuwahara, paint
from stylegan_toon.nn.lens import swell
from stylegan_toon.pipelines.blend import nothing_changes, other_codes
from stylegan_toon.pipelines.invert import Inverter
from stylegan_toon.pipelines.models import check_codes, find_edit, find_model
from stylegan_toon.stylegan2.blend import Recipe, same_mapping, shared_resolutions
from stylegan_toon.stylegan2.blend import blend as blend_generators
from stylegan_toon.stylegan2.edits import Edit, apply_edit, load_edit
from stylegan_toon.stylegan2.files import build_generator
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latents import truncate

STROKES, MOST_STROKES = 1.0, 8.0  # px of the model: by eye, from 1.5 on they eat into eyes and mouths
MOST_EYES = 1.0  # by eye: beyond it they meet at the nose
LINES = 256.0  # px: of a face so large, lines around are as wide as those that styles are taught with
AROUND = 1.8  # likewise, of the photo around the faces: by eye, no softer and no sharper than they are
TRIM = 1 / 32  # of a square that stands alone, on every side: small networks draw its border badly
OWN = "style"  # what a style's file says of shapes that are not the person's
DOUBT, SURE = 0.6, 0.9  # of a mood in a photo, judged by the emotion network: none of it, and all
MOOD = 1.5  # of the edit's own strength, for all of a mood: by eye, with 1 a laugh looks like a shout
DETAIL = 0.8  # by eye: with 1 nothing of the model's own hand is left, with less its smears show
FAR = 0.1  # of changed_photo, by eye: with less a face loses its detail wherever its light has changed
EDGES, FLAT = 3, 0.01  # of the lines by which the style follows the photo: px of the model, and a variance


@dataclass(frozen=True)
class Drawn:
    """The faces of a photo and what was drawn of them: crops [N, 3, R, R] of the photo, their cartoons, how
    much [N, M] of which moods they were drawn in, and, where its detail is wanted, what the source draws of
    the same codes, and before they were edited."""

    photo: Image.Image
    faces: Sequence[Face]
    crops: Tensor
    cartoons: Tensor
    moods: Tensor
    plain: Tensor | None = None
    before: Tensor | None = None

    def only(self, i: int) -> "Drawn":
        """The face i alone."""
        at = slice(i, i + 1)
        seen = self.crops[at], self.cartoons[at], self.moods[at]
        more = (None if x is None else x[at] for x in (self.plain, self.before))
        return Drawn(self.photo, self.faces[at], *seen, *more)


class Toonifier(Inverter):
    """The loaded models of one style, ready for any number of photos.

    own_shapes: its shapes are its own, not the person's: it draws codes alone, and squares that stand alone.
    moods: the edits that it was taught to draw, and that the emotion network looks for in photos; none where
        an edit is given.
    """

    space = "f3/w+"  # what is drawn is not edited any more; with an edit that of Inverter

    def __init__(
        self,
        style: str = "storybook",
        source: str = "faces",
        blend: int | Recipe | None = None,
        device: str = "auto",
        report: Callable[[str], None] = lambda text: None,
        exact: bool = False,
        detector: str = "yunet",
        insightface_root: str | Path | None = None,
        encoder: str | Path | None = None,
        upscale: str | Path = "none",
        strokes: float = 0.0,
        around: float = 0.0,
        finish: str | None = None,
        eyes: float | None = None,
        detail: float | None = None,
        edit: str | None = None,
        strength: float | None = None,
    ):
        """Load source, style and encoder, and blend.

        Args:
            blend: a recipe, or how many resolutions, from 4x4 up, come from the source; None takes the
                style's own.
            exact, detector, insightface_root, encoder: as Inverter.
            upscale: what enlarged() uses: "auto" takes the upscaler that ships, if it is there, "none" none;
                else a name, run or file.
            strokes: radius of the Kuwahara filter over what enlarged() made larger, in pixels of the model; 0
                leaves it out.
            around: likewise, of that over the photo in whole().
            finish: of nn.finish.FINISHES, what whole() and crop() draw; None takes the style's own.
            eyes: how much larger enlarged() makes them, likewise.
            detail: how much of what the photo shows, and the source does not draw, enlarged() brings back, 0
                to 1. None takes the style's own, if it names one; else DETAIL if shows_person, and 0 if not.
            edit: a file, or the name of one that ships: what faces look like before they are drawn.
            strength: how much of it; None is its own.
        Raises: ModelError, UsageError (blend out of range; strength without edit or not finite),
            MissingPartError (device, insightface).
        """
        super().__init__(source, device, report, exact, detector, insightface_root, encoder)
        parents = [find_model(source)]  # of a style file, most often
        self._child, _, made = self._open("style", style, "generator", build_generator, parents)
        self.style_checkpoint = made
        own, most = made.meta.get("blend", 0), self.source.config.n_resolutions
        if blend is None and (type(own) is not int or not 0 <= own <= most):
            raise ModelError(f"{shown(style)} wants blend {str(own)[:20]}, not 0..{most}; give --blend")
        self.set_blend(own if blend is None else blend)
        self.strokes, self.around = strokes, around
        own_finish = str(made.meta.get("finish"))
        self.finish = finish or (own_finish if own_finish in FINISHES else "paint")
        self.eyes = (_share(made.meta.get("eyes"), MOST_EYES) or 0.0) if eyes is None else eyes
        self._detail = _share(made.meta.get("detail"), 1.0) if detail is None else detail
        self.own_shapes = made.meta.get("shapes") == OWN
        if self.own_shapes:  # it has not seen features that lie where the photo's do, nor can its lines
            self.space, self._detail = "w+", self._detail or 0.0
        self.load_upscaler(upscale)
        self.edit, self.strength = self._opened(edit, strength, style, source)
        self.moods = self._known_moods(made.meta.get("moods"), source) if self.own_shapes and not edit else {}
        shares = self.recipe.shares(self.source.config.n_resolutions)
        if blend and nothing_changes(shares, shared_resolutions(self.source, self._child)):
            report(f"{self.recipe} is the same as --blend 0: {style} shares these resolutions with {source}")
        if not same_mapping(self.source, self._child):
            report(other_codes(style, source))

    def _opened(
        self, edit: str | None, strength: float | None, style: str, source: str
    ) -> tuple[Edit | None, float]:
        if edit is None:
            if strength is not None:
                raise UsageError("--strength says how much of an edit; name one with --edit")
            return None, 0.0
        if strength is not None and not math.isfinite(strength):
            raise UsageError(
                "the strength is no finite number; 1 is the edit as it was made, 0 is none of it"
            )
        file = find_edit(edit)
        made = load_edit(file)
        check_codes(made.meta, file, source, self.source_checkpoint, {style: self.style_checkpoint})
        self.files["edit"] = file_entry(file, edit)
        if not self.own_shapes:
            self.space = Inverter.space
        return made, made.strength if strength is None else strength

    def _known_moods(self, named: Any, source: str) -> dict[str, Edit]:
        """The edits of a style's moods that ship, by what the emotion network calls them."""
        found = {}
        for name in named if isinstance(named, list) else []:
            if name in EXPRESSIONS:
                found[name] = load_edit(file := find_edit(name))
                check_codes(found[name].meta, file, source, self.source_checkpoint, {})
                self.files[f"mood {name}"] = file_entry(file, name)
        self._emotion = load_emotion(device=self.device).to(self.source.w_mean.dtype) if found else None
        return found

    def mood(self, crops: Tensor) -> Tensor:
        """How much of each of moods the faces [N, 3, R, R] of photos show, [N, M] from 0 to 1."""
        if not self.moods or self._emotion is None:
            return crops.new_zeros(len(crops), 0)
        with torch.inference_mode():
            judged = torch.cat([self._emotion(crop)[0] for crop in crops.split(1)])
        rows = judged[:, [EXPRESSIONS.index(name) for name in self.moods]]
        return ((rows - DOUBT) / (SURE - DOUBT)).clamp(0, 1)

    def set_blend(self, how: int | Recipe) -> None:
        """Blend by a recipe, or with the k lowest resolutions of the source. Raises: UsageError."""
        self.recipe = Recipe(how) if isinstance(how, int) else how
        self.cartoon = blend_generators(self.source, self._child, self.recipe)

    @property
    def detail(self) -> float:
        """How much of the photo's detail comes back, 0 to 1."""
        return self._detail if self._detail is not None else DETAIL * self.shows_person()

    def steps(self, refine: int | None) -> int:
        """How many steps of optimisation --refine 0 to 3 takes; None is 0 if shows_person, else 1.

        Of what is edited None is 1: codes alone, which an edit moves, then show more of the person.
        """
        enough = self.edit is None and self.shows_person()
        return STEPS[(0 if enough else 1) if refine is None else refine]

    def draw(self, w_plus: Tensor, generator: Generator | None = None, shift: Tensor | None = None) -> Tensor:
        """Cartoons [N, 3, R, R] of codes, or what another generator of the family draws; shift as in fit."""
        with torch.inference_mode():
            return (generator or self.cartoon).synthesis(w_plus, "none", shift=shift)[-1].clamp(-1, 1)

    def cartoons(self, crops: Tensor, found: Inversion) -> tuple[Tensor, Tensor]:
        """Cartoons, as draw, of the faces [N, 3, R, R] of photos whose codes are found; moods, as mood."""
        moods = self.mood(crops)
        change = changed([*self.moods.values()], MOOD * moods, found.w_plus)
        with change.on(self.cartoon.synthesis):
            drawn = self.draw(*self._edited(self.cartoon, found.w_plus + change.w_plus), found.shift)
        return drawn, moods

    def drawings(
        self, photos: Sequence[tuple[Image.Image, Sequence[Face]]], crops: Tensor, found: Inversion
    ) -> list[Drawn]:
        """What is drawn of some photos' faces, of whose crops [N, 3, R, R] found are the codes."""
        counts = [len(faces) for _, faces in photos]
        cartoons, moods = self.cartoons(crops, found)
        nothing: Sequence[Tensor | None] = [None] * len(photos)
        plain = before = nothing
        if self.detail:
            drawn = self.draw(*self._edited(self.source, found.w_plus), found.shift)
            plain = drawn.split(counts)
            if self.edit:
                before = self.draw(found.w_plus, self.source, found.shift).split(counts)
        mine = (part.split(counts) for part in (crops, cartoons, moods))
        parts = zip(photos, *mine, plain, before, strict=True)
        return [Drawn(*photo, *made) for photo, *made in parts]

    def _edited(self, generator: Generator, w_plus: Tensor) -> tuple[Tensor, Generator]:
        """Codes and generator for draw, of edited faces."""
        if self.edit is None:
            return w_plus, generator
        return apply_edit(generator, w_plus, self.edit, self.strength)[::-1]

    def enlarged(self, drawn: Drawn, edges: Sequence[float]) -> list[Tensor]:
        """The cartoons of Drawn, each doubled by the upscaler until it has its edge, at most to 4 R.

        The photo's detail comes back, and eyes grow. What was doubled is painted in strokes. Without an
        upscaler they stay as large as they are.
        """
        out, small = [], drawn.crops.shape[3]
        for i, (face, edge) in enumerate(zip(drawn.faces, edges, strict=True)):
            one = drawn.only(i)
            large, photo, guide = self.doubled(one.cartoons, edge), one.crops, one.crops
            size = large.shape[3]
            if one.plain is not None:
                if size != small:
                    photo = self.like(to_tensor(align(one.photo, face.points, size)))
                if one.before is not None:
                    after = self.doubled(one.plain, edge)
                    photo, guide = edited(photo, guide, one.before, one.plain, after)
                large = self.detailed(large, photo, guide, one.cartoons - one.plain)
            out.append(self._painted(large, size / small)[0])
        return out

    def _painted(self, pictures: Tensor, times: float) -> Tensor:
        """Pictures [N, 3, S, S] with larger eyes, and in strokes where they are larger than the model."""
        large = swell(pictures, self.eyes)
        return kuwahara(large, self.strokes * times) if times > 1 and self.strokes else large

    def detailed(self, cartoons: Tensor, photos: Tensor, crops: Tensor, change: Tensor) -> Tensor:
        """Cartoons [N, 3, S, S] on the way to their photos with the style's change, drawn along the photos.

        Args:
            photos: [N, 3, S, S], the same squares of the photos; crops: [N, 3, R, R], the same at the model's
                size; change: [N, 3, R, R], cartoons less what the source draws of the same codes.
        """
        with torch.inference_mode():
            wanted = along_photo(photos, crops, change, EDGES, FLAT)
            return (cartoons + self.detail * (wanted - cartoons)).clamp(-1, 1)

    def whole(
        self, photo: Image.Image, faces: Sequence[Face], cartoons: Sequence[Tensor], exact: bool = False
    ) -> np.ndarray:
        """uint8 [H, W, 3]: the photo with cartoons, one [3, S, S] a face, over its faces.

        The photo is painted in strokes that fit its faces, of several the middle one, and both have the
        finish. With around 0 what is no face stays as it is.
        """
        edge, dtype = sorted(side(face.points) for face in faces)[len(faces) // 2], self.source.w_mean.dtype
        around = self.around * edge / self.source.config.resolution
        pairs = [(to_levels(a[None])[0], f.points) for a, f in zip(cartoons, faces, strict=True)]
        joined, mask = paste(paint(photo, around, dtype) if around else photo, pairs, exact=exact)
        drawn = np.asarray(finished(FINISHES[self.finish], Image.fromarray(joined), edge / LINES, dtype))
        if around or self.finish == "paint":
            return drawn
        before, share = np.asarray(photo), mask[..., None].astype(np.float64 if exact else np.float32)
        return np.rint(before + share * (drawn.astype(share.dtype) - before)).astype(np.uint8)

    def crop(self, cartoon: Tensor, size: int | None = None) -> Image.Image:
        """A cartoon [3, R, R] in [-1, 1] as a picture with the finish, its edge brought to size.

        Of a style with own_shapes the border is left out.
        """
        edge = round(TRIM * cartoon.shape[2]) if self.own_shapes else 0
        square = picture(cartoon[:, edge : cartoon.shape[1] - edge, edge : cartoon.shape[2] - edge], size)
        return finished(FINISHES[self.finish], square, square.width / LINES, self.source.w_mean.dtype)

    def shown(self, cartoons: Tensor, photos: Tensor | None = None, plain: Tensor | None = None) -> Tensor:
        """Cartoons [N, 3, R, R] as toonify shows them, with larger eyes and the finish, at their own size.

        Of photos [N, 3, R, R] they have the detail, too; plain is what the source draws of their codes.
        """
        if photos is not None and plain is not None and self.detail:
            cartoons = self.detailed(cartoons, photos, photos, cartoons - plain)
        if not self.eyes and self.finish == "paint":
            return cartoons
        size = cartoons.shape[2]
        large = torch.nn.functional.interpolate(cartoons, (int(LINES),) * 2, mode="bicubic")
        out = [self.crop(one) for one in swell(large, self.eyes)]
        return torch.cat([to_tensor(one.resize((size, size), Image.Resampling.LANCZOS)) for one in out])

    def pairs(self, seed: int, rows: int = 4) -> Tensor:
        """[3, rows * S, 8 * S]: pairs of source | cartoon, four a row, of codes drawn from seed.

        They are spread as the encoder gives them for photos, if it knows how, else random ones of psi 0.7. S
        is twice the model's size where there is an upscaler; cartoons are as those of photos.
        """
        g, draw, n = self.source, torch.Generator().manual_seed(seed), 4 * rows
        with torch.inference_mode():
            if encoder := self.knows_people():
                codes = encoder.codes_at(normal((n, encoder.config.spread), draw, self.exact).to(self.device))
            else:
                z = normal((n, g.config.z_dim), draw, self.exact).to(self.device)
                codes = truncate(g.codes(z), g.centre(), 0.7)
        plain, cartoons = self.draw(codes, g), self.draw(codes)
        faces, made = self.doubled(plain, 2.0 * g.config.resolution), self.finished(plain, cartoons)
        return grid(torch.stack([faces, made], 1).flatten(0, 1), 8)

    def finished(
        self, plain: Tensor, cartoons: Tensor, photos: tuple[Tensor, Tensor] | None = None
    ) -> Tensor:
        """Cartoons [N, 3, R, R] of codes that are no photo's, as toonify makes them, [N, 3, S, S].

        Args:
            plain: [N, 3, R, R], what the source draws of the same codes.
            photos: what stands for the photos, [N, 3, S, S] and [N, 3, R, R]; None is plain, and S then
                twice R where there is an upscaler, else R.
        """
        small = self.source.config.resolution
        large = self.doubled(cartoons, 2.0 * small if photos is None else float(photos[0].shape[3]))
        if self.detail:
            faces = (self.doubled(plain, 2.0 * small), plain) if photos is None else photos
            large = self.detailed(large, *faces, cartoons - plain)
        drawn = self._painted(large, large.shape[3] / small)
        return torch.cat([self.like(to_tensor(self.crop(one, large.shape[3]))) for one in drawn])


def edited(
    photo: Tensor, crop: Tensor, before: Tensor, after: Tensor, large: Tensor
) -> tuple[Tensor, Tensor]:
    """Photos [N, 3, S, S] and [N, 3, R, R] as an edit changes them: nn.guided.changed_photo.

    before, after: [N, 3, R, R], what the source draws. large: [N, 3, S, S], after.
    """
    with torch.inference_mode():
        return changed_photo(photo, crop, before, after, large, EDGES, FLAT, FAR)


def toon(
    toonifier: Toonifier, photos: Sequence[tuple[Image.Image, Sequence[Face]]], steps: int
) -> list[Drawn]:
    """For every photo what is drawn of its faces, all together."""
    if not photos:
        return []
    crops = torch.cat([toonifier.crops(photo, faces) for photo, faces in photos])
    return toonifier.drawings(photos, crops, toonifier.fit(crops, steps))


def _share(value: Any, most: float) -> float | None:
    """A number from a style's file, if it is one from 0 to most."""
    return float(value) if isinstance(value, (int, float)) and 0 <= value <= most else None


def picture(cartoon: Tensor, size: int | None = None) -> Image.Image:
    """A cartoon [3, R, R] in [-1, 1] as a picture, its edge brought to size."""
    square = Image.fromarray(to_uint8(cartoon[None])[0])
    return square if size is None else square.resize((size, size), Image.Resampling.LANCZOS)
