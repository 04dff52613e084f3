"""Codes of faces from wherever they come: seeds, photos, latent files; and the networks that draw them."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from stylegan_toon.data import load_pictures
from stylegan_toon.errors import InputError, ModelError, UsageError, shown
from stylegan_toon.faces.align import align
from stylegan_toon.images import list_images, to_tensor
from stylegan_toon.methods.freezesg import Known
from stylegan_toon.methods.invert import STEPS
from stylegan_toon.paths import sample_file
from stylegan_toon.pipelines.generate import PSI, parse_seeds, read_latents, read_shift, seed_z
from stylegan_toon.pipelines.invert import Inverter
from stylegan_toon.pipelines.models import check_codes
from stylegan_toon.pipelines.own import origin
from stylegan_toon.pipelines.toonifier import STROKES, Toonifier, edited
from stylegan_toon.stylegan2.blend import Recipe
from stylegan_toon.stylegan2.encoder import Encoder, predict_shift
from stylegan_toon.stylegan2.files import generator_checkpoint
from stylegan_toon.stylegan2.generator import Generator
from stylegan_toon.stylegan2.latent_files import SUFFIX, belongs, load_latents
from stylegan_toon.stylegan2.latents import truncate

Photo = tuple[Tensor, Tensor]
PEOPLE = "people:"  # before a list of numbers: faces as tame as those of photos are


@dataclass(frozen=True)
class Codes:
    """names: N, of files. w_plus: [N, L, D] of the source. z: [N, Z] where all are of seeds.

    shift: [N, C, r, r] of features, 0 for faces that have none; None where no face has.
    photos: of N, the aligned square of the photo as Family.shown has it, [1, 3, S, S], and as the source
    sees it, [1, 3, R, R]; None of what is no photo. No photos at all are ().
    """

    names: list[str]
    w_plus: Tensor
    z: Tensor | None = None
    shift: Tensor | None = None
    photos: Sequence[Photo | None] = ()

    def rows(self) -> Iterator[tuple[str, Tensor, Tensor | None]]:
        """Name, w_plus [1, L, D] and shift [1, C, r, r] of every face."""
        for i, name in enumerate(self.names):
            yield name, self.w_plus[i : i + 1], None if self.shift is None else self.shift[i : i + 1]


class Family:
    """A source and the styles that draw its codes, each with its own blend; or the source alone."""

    def __init__(
        self,
        source: str = "faces",
        styles: Sequence[str] = (),
        blend: int | Recipe | None = None,
        device: str = "auto",
        report: Callable[[str], None] = lambda text: None,
        raw: bool = False,
    ):
        """Load source and styles.

        raw: shown() gives pictures as the networks draw them, neither enlarged nor finished.
        Raises: as Toonifier.
        """
        upscale = "none" if raw else "auto"
        toons = {
            name: Toonifier(name, source, blend, device, report, upscale=upscale, strokes=STROKES)
            for name in styles
        }
        self._inverter = next(iter(toons.values())) if toons else Inverter(source, device, report)
        self._toons, self._raw = toons, raw
        if not toons and not raw:
            self._inverter.load_upscaler()
        self.source, self.checkpoint = self._inverter.source, self._inverter.source_checkpoint
        self.source_name, self.report, self.files = source, report, self._inverter.files
        self.styles = {name: toon.cartoon for name, toon in toons.items()}
        self._children = {name: toon.style_checkpoint for name, toon in toons.items()}
        for name, toon in [*toons.items()][1:]:
            self.files[f"style {name}"] = toon.files["style"]
        if self._inverter.upscaler:
            self.files["upscaler"] = self._inverter.upscaler_entry

    @property
    def networks(self) -> dict[str, Generator]:
        """The styles, or the source if there are none, by their names."""
        return self.styles or {self.source_name: self.source}

    def check(self, meta: Mapping[str, Any], file: str | Path) -> None:
        """That codes or an edit with this meta are of the source, and its styles draw them.

        Raises: ModelError naming the file and the network.
        """
        check_codes(meta, file, self.source_name, self.checkpoint, self._children)

    def gather(
        self, given: Sequence[str], psi: float | None = None, refine: int = 1, space: str = "w+"
    ) -> Codes:
        """The codes of seeds ("0-7,9"), people, photos, folders of photos, latent files: in the order given.

        "people:0-7" are random faces spread as photos' codes are; without an encoder that knows the spread
        they are seeds. Any other name is a file's, and so is one that exists. Of a photo the largest face is
        taken; of those of a folder that cannot be used report is told, and they are left out.
        Args:
            psi: truncation of seeds and people; None is generate's.
            refine: of photos, 0 to 3, as toonify_files.
            space: of photos, as methods.invert.refine; without "f/w+" shifts of latent files are left out.
                Where a style has shapes of its own it is "w+".
        Raises: UsageError, InputError, ModelError.
        """
        if not given:
            raise UsageError("there are no faces to work on; give seeds such as 0-7, photos or latent files")
        if any(toon.own_shapes for toon in self._toons.values()):
            space = "w+"  # all that such a style draws
        parts = [self._one(text, psi, STEPS[refine], space) for text in given]
        names, w_plus = [name for part in parts for name in part.names], torch.cat([p.w_plus for p in parts])
        z = [part.z for part in parts if part.z is not None]
        z_of_all = torch.cat(z) if len(z) == len(parts) else None
        photos = [photo for part in parts for photo in part.photos or [None] * len(part.names)]
        return Codes(_distinct(names), w_plus, z_of_all, _together(parts), photos if any(photos) else ())

    def _one(self, text: str, psi: float | None, steps: int, space: str) -> Codes:
        path, g = Path(text), self.source
        if text.startswith(PEOPLE) and not path.exists():
            numbers = text.removeprefix(PEOPLE)
            if not self.spread:
                name = shown(self.source_name, 50)
                self.report(f"{name} has no encoder that knows people; seeds {numbers} in their stead")
                return self._one(numbers, psi, 0, space)
            chosen = parse_seeds(numbers)
            return Codes(
                [f"person{number:04d}" for number in chosen], self.people(seed_z(chosen, self.spread), psi)
            )
        if set(text) <= set("0123456789-, ") and not (len(text) < 256 and path.exists()):
            seeds = parse_seeds(text)
            z = seed_z(seeds, g.config.z_dim).to(g.w_mean)
            return Codes([f"seed{seed:04d}" for seed in seeds], self.mapped(z, psi), z)
        if path.name.endswith(".safetensors"):
            self.check(load_latents(path)[1], path)
            w_plus = read_latents(path, g)[1]
            stem = path.name.removesuffix(".safetensors").removesuffix(".latent")
            names = [stem] if len(w_plus) == 1 else [f"{stem}-{i + 1}" for i in range(len(w_plus))]
            shift = read_shift(path, g) if space == "f/w+" else None
            return Codes(names, w_plus.to(g.w_mean), shift=shift)
        names, found, photos = [], [], list[Photo | None]()
        detail = not self._raw and self._inverter.shows_person()
        for file, relative in list_images([text]):
            try:
                photo, faces = self._inverter.faces_of(file, "largest")
            except InputError as error:
                if file == path:
                    raise
                self.report(f"left out: {error}")
                continue
            square = self._inverter.crops(photo, faces)
            found.append(self._inverter.fit(square, steps, space))
            names.append("-".join(relative.with_suffix("").parts))
            if detail:
                size = g.config.resolution * (2 if self._inverter.upscaler else 1)
                large = self._inverter.like(to_tensor(align(photo, faces[0].points, size)))
                photos.append((large, square))
        if not found:
            raise InputError(f"no face found in the pictures of {shown(path)}; give other photos")
        shifts = [one.shift for one in found if one.shift is not None]
        w_plus = torch.cat([one.w_plus.detach() for one in found])
        return Codes(names, w_plus, None, torch.cat(shifts) if shifts else None, photos)

    @property
    def spread(self) -> int:
        """How many numbers make a person's code, for people(); 0 where no encoder knows people."""
        encoder = self._inverter.knows_people()
        return encoder.config.spread if encoder else 0

    def people(self, z: Tensor, psi: float | None = None) -> Tensor:
        """w_plus [N, L, D], spread as those of photos are, of normal z [N, spread]; psi as generate's."""
        encoder = self._inverter.knows_people()
        assert encoder, "spread is 0"
        with torch.no_grad():
            return encoder.codes_at(self._inverter.like(z) * (PSI if psi is None else psi))

    def mapped(self, z: Tensor, psi: float | None = None) -> Tensor:
        """w_plus [N, L, D] of z [N, Z], truncated; psi None is generate's."""
        with torch.no_grad():
            return truncate(self.source.codes(z), self.source.centre(), PSI if psi is None else psi)

    def draw(self, w_plus: Tensor, g: Generator, shift: Tensor | None = None) -> Tensor:
        """Pictures [N, 3, R, R] on the CPU, drawn one at a time: equal codes, equal bits in any company.

        w_plus: [N, L, D]. shift: of features, [N, C, r, r], as Codes has it; None is none.
        """
        shifts = [None] * len(w_plus) if shift is None else shift.split(1)
        with torch.inference_mode():
            drawn = [
                g.synthesis(one, "none", shift=own)[-1].clamp(-1, 1).cpu()
                for one, own in zip(w_plus.split(1), shifts, strict=True)
            ]
        return torch.cat(drawn)

    def shown(
        self,
        plain: Tensor,
        drawn: Tensor | None = None,
        style: str | None = None,
        photos: Sequence[Photo | None] = (),
        before: Tensor | None = None,
    ) -> Tensor:
        """Faces as people are shown them, [N, 3, S, S] on the CPU, made one at a time as by draw.

        Args:
            plain: [N, 3, R, R], what the source draws.
            drawn: [N, 3, R, R], what a style draws of the same codes; None shows plain. style: its name.
            photos: those of Codes; the photo itself is shown, with what became of its face, and the style
                is drawn along it. before: [N, 3, R, R], what the source draws of the photos' codes.
        Returns: twice as large where there is an upscaler, those of a style as toonify makes cartoons; of a
            raw Family as they are.
        """
        if self._raw:
            return plain if drawn is None else drawn
        like, size, made = self._inverter.like, plain.shape[3], []
        for i, photo in enumerate(photos or [None] * len(plain)):
            face = like(plain[i : i + 1])
            large, guide = self._inverter.doubled(face, 2.0 * size), face
            if photo and before is not None:
                old = like(before[i : i + 1])
                large, guide = edited(*photo, old, face, large)
            if drawn is not None and style is not None and style != self.source_name:
                large = self._toons[style].finished(face, like(drawn[i : i + 1]), (large, guide))
            made.append(large.clamp(-1, 1).cpu())
        return torch.cat(made)


def _together(parts: Sequence[Codes]) -> Tensor | None:
    """The shifts of all parts, of as many resolutions as any has, 0 where one has none; None if none has."""
    known = [part.shift for part in parts if part.shift is not None]
    if not known:
        return None
    most = max(known, key=lambda shift: shift.shape[1])
    together = most.new_zeros(sum(len(part.names) for part in parts), *most.shape[1:])
    for rows, part in zip(together.split([len(part.names) for part in parts]), parts, strict=True):
        if part.shift is not None:
            rows[:, : part.shift.shape[1]] = part.shift
    return together


def read_codes(given: Sequence[str], g: Generator) -> Codes | None:
    """All codes, with their shifts, of latent files and folders of them, made with g; None of none.

    Their names are those of the files, without the ending.
    Raises: ModelError for a file of another generator or that is none; InputError for a folder without any.
    """
    own, parts = generator_checkpoint(g), []
    for name in given:
        files = sorted(Path(name).glob(f"*{SUFFIX}")) if Path(name).is_dir() else [Path(name)]
        if not files:
            raise InputError(f"{shown(name)} holds no latent files (*{SUFFIX}); invert writes them")
        for file in files:
            if not belongs(load_latents(file)[1], own):
                raise ModelError(f"{shown(file)} was made with another generator; name one of the source's")
            w_plus = read_latents(file, g)[1]
            stem = file.name.removesuffix(".safetensors").removesuffix(".latent")
            parts.append(Codes([stem] * len(w_plus), w_plus, shift=read_shift(file, g)))
    if not parts:
        return None
    names, w_plus = [name for part in parts for name in part.names], torch.cat([p.w_plus for p in parts])
    return Codes(names, w_plus, shift=_together(parts))


def portraits(encoder: Encoder, g: Generator, themselves: bool = False) -> Known | None:
    """Codes and shifts of the photos that ship, and of their mirror images, as the encoder gives them.

    themselves: each photo is its own drawing, so that a child that goes by pairs keeps eyes and mouths whole.
    None of an encoder that gives no shifts, whose spread says all it knows.
    """
    if encoder.shift is None:
        return None
    photos = load_pictures([sample_file("portraits")], g.config.resolution)
    photos = torch.cat([photos, photos.flip(3)])
    found = []
    with torch.no_grad():
        for part in photos.split(16):
            shown = part.to(g.w_mean) / 127.5 - 1
            w_plus = encoder(shown)
            found.append((w_plus, predict_shift(encoder, g, shown, w_plus)))
    known = Known(torch.cat([w for w, _ in found]), torch.cat([s for _, s in found if s is not None]))
    if not themselves:
        return known
    return known._replace(
        drawings=photos.float() / 127.5 - 1, paired=torch.ones(len(photos), dtype=torch.bool)
    )


def inverted(
    encoder: Encoder,
    g: Generator,
    pictures: Tensor,
    mirror: bool = True,
    photos: Tensor | None = None,
    moods: Tensor | None = None,
) -> Known:
    """The people whom the encoder sees in cartoons, whose drawings these are; and people of photos.

    None has a shift: cartoons have shapes of their own. Photos and cartoons are about as many each.
    Args:
        pictures: [N, 3, R, R] uint8, cartoons. mirror: their mirror images, too.
        photos: w_plus [P, L, D]; None is those of the photos that ship, and of their mirror images.
        moods: [N, M] of the cartoons, as Known has them; photos get the same ones, by chance.
    Source: Chong and Forsyth 2021, arXiv 2112.11641 (JoJoGAN), who mix in codes' fine layers at random, and
        have one cartoon, or few. Deviation: codes are as they are, and the discriminator judges photos'.
    """

    def seen(x: Tensor) -> Tensor:
        with torch.no_grad():
            return torch.cat([encoder(part.to(g.w_mean) / 127.5 - 1) for part in x.split(16)])

    if photos is None:
        portraits = load_pictures([sample_file("portraits")], g.config.resolution)
        photos = seen(torch.cat([portraits, portraits.flip(3)]))
    drawn = torch.cat([pictures, pictures.flip(3)]) if mirror else pictures
    often = max(1, round(len(photos) / len(drawn)))
    some, people = drawn.repeat(often, 1, 1, 1), seen(drawn).repeat(often, 1, 1)
    more = photos.repeat(max(1, round(len(some) / len(photos))), 1, 1)
    w_plus, known = torch.cat([people, more]), torch.arange(len(people) + len(more)) < len(people)
    drawings = torch.cat([some, some.new_zeros(1, 1, 1, 1).expand(len(more), *some.shape[1:])])
    if moods is None:
        return Known(w_plus, None, drawings, known)
    own = moods.repeat(len(some) // len(moods), 1)
    chance = torch.randint(len(moods), [len(more)], generator=torch.Generator().manual_seed(0))
    return Known(w_plus, None, drawings, known, torch.cat([own, moods[chance]]))


def moods_of(names: Sequence[str], words: Sequence[str]) -> Tensor:
    """[N, M]: 1 where a picture's name without its ending ends in a word after a hyphen (a-happy.png)."""
    stems = [Path(name).stem.lower() for name in names]
    return torch.tensor([[float(stem.endswith(f"-{word}")) for word in words] for stem in stems])


def paired(
    codes: Codes, path: Path, size: int, report: Callable[[str], None], words: Sequence[str] = ()
) -> Known:
    """The codes, each with the picture in a folder or archive that bears its name as its drawing.

    words: of M moods. A picture that bears a code's name and one of them after a hyphen is the drawing of
        that person in this mood, a row of its own.
    Raises: InputError if no picture bears the name of a code, or they cannot be read.
    """
    names: list[str] = []
    pictures = load_pictures([path], size, see=lambda name, data, picture: names.append(name))
    before = origin(path)  # of pictures that prepare has numbered
    place = {Path(before.get(name, name)).stem: i for i, name in reversed([*enumerate(sorted(names))])}
    drawn = [(i, place.get(name, -1), "") for i, name in enumerate(codes.names)]
    for word in words:
        stems = [(i, f"{name}-{word}") for i, name in enumerate(codes.names)]
        drawn += [(i, place[stem], word) for i, stem in stems if stem in place]
    people, rows, of = map(list, zip(*drawn, strict=True))
    if not (known := torch.tensor(rows) >= 0).any():
        raise InputError(
            f"no picture of {shown(path, 60)} bears the name of a code ({shown(codes.names[0], 30)}); "
            "name photos as their drawings, then invert them"
        )
    some = len({i for i, row, _ in drawn if row >= 0})
    more = f", {int(known.sum())} with those in moods" if words else ""
    report(f"{some} of {len(codes.names)} codes have a drawing in {shown(path, 60)}{more}")
    shift = None if codes.shift is None else codes.shift[people]
    moods = torch.tensor([[float(mood == word) for word in words] for mood in of]) if words else None
    return Known(codes.w_plus[people], shift, pictures[torch.tensor(rows).clamp(min=0)], known, moods)


def _distinct(names: Sequence[str]) -> list[str]:
    """The names, a later one of the same name with a number."""
    taken: dict[str, None] = {}
    for name in names:
        count, free = 2, name
        while free in taken:
            free, count = f"{name}_{count}", count + 1
        taken[free] = None
    return [*taken]


def latent_path(path: str | Path) -> Path:
    """path, which has the ending of latent files now, whatever it had of it."""
    path = Path(path)
    return path.with_name(path.name.removesuffix(".safetensors").removesuffix(".latent") + SUFFIX)
