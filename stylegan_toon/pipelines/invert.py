"""Photo in, code out: detect, align, encode, optimise, and tune the generator round the code."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import torch
from PIL import Image
from torch import Tensor, nn

from stylegan_toon.checkpoint.format import Checkpoint, save
from stylegan_toon.device import choose_device
from stylegan_toon.errors import InputError, ModelError, UsageError, shown
from stylegan_toon.exact import double
from stylegan_toon.faces.align import align
from stylegan_toon.faces.detect import MODEL, Face, find_faces, select_faces
from stylegan_toon.faces.detectors import choose_detector
from stylegan_toon.features.look import Look, load_look
from stylegan_toon.features.mobileface import NAME, load_mobileface
from stylegan_toon.images import grid, list_images, load_image, save_png, to_tensor
from stylegan_toon.metadata import chunks, file_entry, model_entry
from stylegan_toon.methods.invert import RANK, RATE, SHIFTED, STEPS, Inversion, near_rate, refine, tune
from stylegan_toon.nn.upscaler import Upscaler, enlarge
from stylegan_toon.paths import pretrained_file
from stylegan_toon.pipelines.models import (
    UPSCALER,
    check_encoder,
    load_network,
    parent_name,
    pretrained,
    sibling,
)
from stylegan_toon.stylegan2.adapters import style_checkpoint
from stylegan_toon.stylegan2.encoder import Encoder, predict_shift
from stylegan_toon.stylegan2.files import AnyEncoder, build_encoder, build_generator, build_upscaler
from stylegan_toon.stylegan2.latent_files import SUFFIX, save_latents

Net = TypeVar("Net", bound=nn.Module)
PTI_STEPS = 100


class Inverter:
    """A photo generator with what turns photos into its codes, ready for any number of photos."""

    space = "f/w+"  # what fit looks in, as methods.invert.refine: near, and yet edits move it

    def __init__(
        self,
        source: str = "faces",
        device: str = "auto",
        report: Callable[[str], None] = lambda text: None,
        exact: bool = False,
        detector: str = "yunet",
        insightface_root: str | Path | None = None,
        encoder: str | Path | None = None,
        lpips: bool = False,
    ):
        """Load the source; encoder and judges are loaded when they are needed.

        Args:
            exact: compute in float64, so that the results have the same bytes on every machine.
            detector, insightface_root: what finds the faces, as choose_detector.
            encoder: its name or file; None takes the source's, of a style file its parent's.
            lpips: compare pictures by LPIPS where its files are there, which differs from machine to machine.
        Raises: ModelError, UsageError, MissingPartError (device, insightface).
        """
        self._find = choose_detector(detector, insightface_root, choose_device(device).type, report)
        if exact and detector != "yunet":
            raise UsageError(f"--exact needs --detector yunet; {detector} computes in float32")
        self.detector = detector
        self.device, self.exact = choose_device(device), exact
        self.files: dict[str, dict[str, Any]] = {}  # the models in use, as the metadata tell of them
        self.source, self.source_files, self.source_checkpoint = self._open(
            "source", source, "generator", build_generator
        )
        whole = len(self.source_files) == 1
        self._encoder_name = encoder or (source if whole else self.source_files[-1])
        self._must_encode = encoder is not None or sibling(self.source_files[-1], "encoder").is_file()
        self._report, self._lpips = report, lpips
        self._look: Look | None = None
        self._encoder: AnyEncoder | None = None
        self.upscaler: Upscaler | None = None
        self.upscaler_entry: dict[str, Any] = {}  # told of only where it was used

    def load_upscaler(self, which: str | Path = "auto") -> None:
        """What doubled() enlarges by: the network that ships, if it is there; none; or a name, run or file.

        Raises: ModelError.
        """
        if which != "none" and (which != "auto" or pretrained("upscaler")):
            name = UPSCALER if which == "auto" else which
            self.upscaler, *_ = self._open("upscaler", name, "upscaler", build_upscaler)
            self.upscaler_entry = self.files.pop("upscaler")

    def doubled(self, pictures: Tensor, edge: float) -> Tensor:
        """Pictures [N, 3, R, R] as the upscaler enlarges them to edge, if there is one."""
        return pictures if self.upscaler is None else enlarge(self.upscaler, pictures, edge)

    def _open(
        self,
        role: str,
        name: str | Path,
        what: str,
        build: Callable[[Checkpoint], Net],
        parents: Sequence[Path] = (),
    ) -> tuple[Net, list[Path], Checkpoint]:
        network, files, made = load_network(name, what, build, self.device, parents)
        self.files[role] = model_entry(files, name)
        return (double(network) if self.exact else network), files, made

    def shows_person(self) -> bool:
        """Whether the encoder gives shifts of all resolutions: what is drawn then lies where the photo is."""
        try:
            encoder = self._load_encoder()
            check_encoder(encoder, self.source)
        except ModelError:  # fit says so, or does without
            return False
        return isinstance(encoder, Encoder) and bool(encoder.config.fine)

    def knows_people(self) -> Encoder | None:
        """The encoder, if it can draw codes spread as those of photos are (Encoder.codes_at)."""
        try:
            encoder = self._load_encoder()
            check_encoder(encoder, self.source)
        except ModelError:
            return None
        return encoder if isinstance(encoder, Encoder) and encoder.config.spread else None

    @property
    def encoder(self) -> AnyEncoder | None:
        """The encoder, once a photo has gone through it."""
        return self._encoder

    def look(self, pictures: Tensor) -> tuple[Tensor, list[Tensor]]:
        """What aligned pictures are compared by: features.look."""
        if self._look is None:
            if self._lpips:
                size = self.source.config.resolution
                self._look, _, backbone = load_look(size, self.device, self._report)
                if backbone:
                    self.files["features"] = file_entry(backbone)
            else:
                face = load_mobileface(device=self.device)
                self._look = (double(face) if self.exact else face).look
            self._tell("identity", NAME)
        return self._look(pictures)

    def find(self, photo: Image.Image) -> list[Face]:
        """The faces of a photo, largest first."""
        if self.detector != "yunet":
            return self._find(photo)
        found = find_faces(photo, exact=self.exact)
        self._tell("detector", MODEL)
        return found

    def faces_of(self, file: Path, which: str | int) -> tuple[Image.Image, list[Face]]:
        """The photo in a file, and those of its faces that select_faces chooses.

        Raises: InputError for a file that is no picture or has no face.
        """
        photo = load_image(file)
        if found := select_faces(self.find(photo), which):
            return photo, found
        raise InputError(
            f"no face found in {shown(file)} ({photo.width}x{photo.height}); try a larger or less "
            "covered face, upright and towards the camera"
        )

    def _tell(self, role: str, name: str) -> None:
        if role not in self.files and (path := pretrained_file(name)):
            self.files[role] = file_entry(path, name)

    def crops(self, photo: Image.Image, faces: Sequence[Face]) -> Tensor:
        """[N, 3, R, R] in [-1, 1]: the aligned squares of the faces."""
        size = self.source.config.resolution
        return self.like(torch.cat([to_tensor(align(photo, face.points, size)) for face in faces]))

    def square(self, file: Path) -> Tensor:
        """[1, 3, R, R] in [-1, 1]: the aligned square in a file. Raises: InputError for one that is none."""
        photo, size = load_image(file), self.source.config.resolution
        if photo.width != photo.height:
            given = f"{shown(file)} is {photo.width}x{photo.height}"
            raise InputError(f"{given}, no aligned square; leave --aligned out, or cut it with prepare")
        return self.like(to_tensor(photo.resize((size, size), Image.Resampling.LANCZOS)))

    def like(self, pictures: Tensor) -> Tensor:
        """pictures on the source's device and in its dtype."""
        return pictures.to(self.device, self.source.w_mean.dtype)

    def fit(self, photos: Tensor, steps: int = 0, space: str | None = None, noise: bool = False) -> Inversion:
        """Aligned photos [N, 3, R, R] in [-1, 1]: the encoder, then optimisation as methods.invert.refine.

        space: as refine; None is the class's.
        """
        space = space or self.space
        start = self._start(photos, steps)
        encoder, usual, shift = self._encoder, None, None
        if isinstance(encoder, Encoder) and encoder.config.spread:
            usual = encoder.codes_spread
        if encoder is not None and space in SHIFTED:
            with torch.no_grad():
                shift = predict_shift(encoder, self.source, photos, start, space == "f3/w+")
        whole = shift is not None and shift.shape[1] == self.source.config.shift_shape[0]
        lr = RATE if shift is None else near_rate(steps, whole)
        return refine(self.source, photos, start, steps, self.look, space, noise, lr, usual, shift)

    def invert(self, photos: Tensor, steps: int = 0) -> Tensor:
        """w_plus [N, L, D] of fit in the space W+, without noise."""
        return self.fit(photos, steps, "w+").w_plus

    def _start(self, photos: Tensor, steps: int) -> Tensor:
        """Codes [N, L, D] of the encoder; where there is none, and steps are to follow, the mean face."""
        try:
            encoder = self._load_encoder()
        except ModelError:
            if not steps or self._must_encode:
                raise
            self._report(
                f"{shown(self._encoder_name, 50)} has no encoder, so optimisation starts at the mean "
                "face and needs more steps; train-encoder makes one"
            )
            return self.source.centre().expand(len(photos), self.source.config.n_layers, -1)
        check_encoder(encoder, self.source)
        with torch.no_grad():
            return encoder(photos)

    def _load_encoder(self) -> AnyEncoder:
        """The encoder, read once. Raises: ModelError where there is none."""
        if self._encoder is None:
            self._encoder, *_ = self._open("encoder", self._encoder_name, "encoder", build_encoder)
        return self._encoder


@dataclass
class Inverted:
    """What became of one photo: the files written, the picture first; or error is set."""

    photo: Path
    paths: list[Path] = field(default_factory=list)
    error: str | None = None
    seconds: float = 0.0


def invert_files(
    photos: Sequence[str],
    source: str = "faces",
    encoder: str | None = None,
    refine: int = 2,
    refine_steps: int | None = None,
    space: str = "f/w+",
    noise: bool = True,
    pti: bool = False,
    pti_steps: int = PTI_STEPS,
    faces: str | int = "largest",
    aligned: bool = False,
    out: str = "out",
    detector: str = "yunet",
    insightface_root: str | Path | None = None,
    device: str = "auto",
    seed: int = 0,
    report: Callable[[str], None] = lambda text: None,
    metadata: bool = True,
) -> Iterator[Inverted]:
    """Find the codes of the faces in photos (files and folders): an Inverted a photo.

    Of NAME are written NAME.png (photo | inversion, a row a face), NAME.latent.safetensors and, with pti,
    NAME.style.safetensors.
    Args:
        source, encoder, detector, insightface_root: as Inverter.
        refine: 0 to 3, an index into methods.invert.STEPS; refine_steps overrides it.
        space, noise: as methods.invert.refine.
        pti: also tune the generator round the codes of a photo, pti_steps steps; the picture then has a third
            column.
        aligned: the photos are aligned squares; no face is looked for.
        out: the folder; folders among photos are mirrored in it. No input is overwritten.
    Raises: ModelError, UsageError, MissingPartError, DiskError; a photo's own failure is in its Inverted.
    """
    inverter = Inverter(source, device, report, False, detector, insightface_root, encoder, True)
    steps = STEPS[refine] if refine_steps is None else refine_steps
    if pti and len(inverter.source_files) > 1:
        raise UsageError(f"--pti tunes a whole generator; {shown(source)} is a style file, convert it first")
    for file, relative in list_images(photos):
        began = time.perf_counter()
        try:
            squares = inverter.square(file) if aligned else inverter.crops(*inverter.faces_of(file, faces))
        except InputError as error:
            yield Inverted(file, error=str(error), seconds=time.perf_counter() - began)
            continue
        made = inverter.fit(squares, steps, space, noise)
        path = free(Path(out) / relative.with_suffix(".png"), file, "inversion")
        about: dict[str, Any] = {"refine_steps": steps, "space": space}
        columns = [squares, made.draw(inverter.source)]
        written = [path, path.with_name(f"{path.stem}{SUFFIX}")]
        if pti:
            torch.manual_seed(seed)
            child = tune(inverter.source, squares, made, pti_steps, inverter.look)
            columns.append(made.draw(child))
            name = parent_name(inverter.source_files[0])
            about |= {"pti_steps": pti_steps, "seed": seed}
            style = style_checkpoint(child, inverter.source_checkpoint, name, RANK, 0, about)
            written.append(path.with_name(f"{path.stem}.style.safetensors"))
            save(written[-1], style)
        rows = torch.stack([column.detach().cpu().clamp(-1, 1) for column in columns], 1).flatten(0, 1)
        note = {"command": "invert", "models": inverter.files, "photo": file_entry(file), **about}
        if not aligned:
            note |= {"faces": faces, "detector": detector}
        save_png(path, grid(rows, len(columns)), chunks(note) if metadata else {})
        names = [f"{path.stem}{f'-face{i + 1}' if i else ''}" for i in range(len(squares))]
        save_latents(
            written[1], made.w_plus, inverter.source_checkpoint, names, made.noise, about, made.shift
        )
        yield Inverted(file, written, seconds=time.perf_counter() - began)


def free(path: Path, photo: Path, what: str) -> Path:
    """path, or one beside it that is named after what it is, where it is the photo itself."""
    return path.with_name(f"{path.stem}-{what}.png") if path.absolute() == photo.absolute() else path
