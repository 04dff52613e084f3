"""The models of others that are known by name, and those that were fetched: list, get, path, verify, remove.

A digest stands here only if its owner or several independent users have published it; where none has,
the person who fetches says which file is meant.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from stylegan_toon.downloads import SHA256, TIMEOUT, digest, fetch, take
from stylegan_toon.downloads import remove as delete
from stylegan_toon.errors import DownloadError, ModelError, UsageError, shown
from stylegan_toon.paths import models_dir, pretrained_dirs

CLIP = "https://openaipublic.azureedge.net/clip/models"
TORCH = "https://download.pytorch.org/models"
BUFFALO = (  # the five files of buffalo_l, singly; a mirror, held at one revision
    "https://huggingface.co/public-data/insightface/resolve/"
    "33c1063c49c785b7652d3fd529f86fa4f149392b/models/buffalo_l"
)
SUFFIXES = (".safetensors", ".onnx")


@dataclass(frozen=True)
class Known:
    """A file of somebody else.

    size: bytes; None, like an empty sha256, where it is not published.
    """

    name: str
    url: str
    file: str
    sha256: str
    size: int | None
    licence: str
    use: str


KNOWN = (
    Known(
        "ffhq-256",
        "https://drive.google.com/uc?export=download&id=1PQutd-JboOCOZqmd95XWxWrO8gGEvRcO",
        "ffhq-256.pt",
        "",
        None,
        "code MIT; FFHQ is CC BY-NC-SA 4.0: non-commercial",
        "256 px face generator by rosinality, the source of Cartoon-StyleGAN",
    ),
    Known(
        "ffhq-256-nvidia",
        "https://api.ngc.nvidia.com/v2/models/nvidia/research/stylegan2/versions/1/files/"
        "stylegan2-ffhq-256x256.pkl",
        "ffhq-256-nvidia.pkl",
        "",
        None,
        "NVIDIA Source Code License: non-commercial",
        "256 px face generator by NVIDIA",
    ),
    Known(
        "clip-vit-b-32",
        f"{CLIP}/40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af/ViT-B-32.pt",
        "ViT-B-32.pt",
        "40d365715913c9da98579312b702a82c18be219cc2a73407c4526f58eba950af",
        353_976_522,
        "MIT",
        "CLIP, text and picture features",
    ),
    Known(
        "clip-vit-b-16",
        f"{CLIP}/5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f/ViT-B-16.pt",
        "ViT-B-16.pt",
        "5806e77cd80f8b59890b7e101eabd078d9fb84e6937f9e85e4ecb61988df416f",
        None,
        "MIT",
        "CLIP, text and picture features, finer",
    ),
    Known(
        "clip-vit-l-14",
        f"{CLIP}/b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836/ViT-L-14.pt",
        "ViT-L-14.pt",
        "b8cca3fd41ae0c99ba7e8951adf17d267cdb84cd88be6f7c2e0eca1737a03836",
        None,
        "MIT",
        "CLIP, the large one",
    ),
    Known(
        "insightface-detector",
        f"{BUFFALO}/det_10g.onnx",
        "det_10g.onnx",
        "5838f7fe053675b1c7a08b633df49e7af5495cee0493c7dcf6697200b85b5b91",
        16_923_827,
        "non-commercial research (insightface)",
        "--detector insightface",
    ),
    Known(
        "insightface-arcface",
        f"{BUFFALO}/w600k_r50.onnx",
        "w600k_r50.onnx",
        "4c06341c33c2ca1f86781dab0e829f88ad5b64be9fba56e56bc9ebdefc619e43",
        174_383_860,
        "non-commercial research (insightface)",
        "evaluate --identity arcface",
    ),
    Known(
        "arcface-ir-se50",
        "https://github.com/xinntao/facexlib/releases/download/v0.1.0/recognition_arcface_ir_se50.pth",
        "arcface-ir-se50.pth",
        "a035c768259b98ab1ce0e646312f48b9e1e218197a0f80ac6765e88f8b6ddf28",
        None,
        "code MIT; for the weights none is stated",
        "evaluate --identity arcface-ir-se50; ArcFace with gradients",
    ),
    Known(
        "lpips-alex",
        f"{TORCH}/alexnet-owt-7be5be79.pth",
        "alexnet-owt-7be5be79.pth",
        "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        244_408_911,
        "BSD-3-Clause; ImageNet's terms may apply",
        "AlexNet, the backbone of lpips.LPIPS(net='alex')",
    ),
    Known(
        "lpips-vgg",
        f"{TORCH}/vgg16-397923af.pth",
        "vgg16-397923af.pth",
        "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        553_433_881,
        "BSD-3-Clause; ImageNet's terms may apply",
        "VGG-16, the backbone of lpips.LPIPS(net='vgg')",
    ),
    Known(
        "lpips-squeeze",
        f"{TORCH}/squeezenet1_1-b8a52dc0.pth",
        "squeezenet1_1-b8a52dc0.pth",
        "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
        None,
        "BSD-3-Clause; ImageNet's terms may apply",
        "SqueezeNet, the backbone of lpips.LPIPS(net='squeeze')",
    ),
    Known(
        "inception-fid",
        "https://github.com/mseitzer/pytorch-fid/releases/download/fid_weights/"
        "pt_inception-2015-12-05-6726825d.pth",
        "pt_inception-2015-12-05-6726825d.pth",
        "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        95_628_359,
        "Apache-2.0; ImageNet's terms may apply",
        "Inception of 2015, the features of FID",
    ),
)
BY_NAME = {known.name: known for known in KNOWN}


def entries() -> list[dict[str, Any]]:
    """Every known model, every other file that was fetched, and those that ship, as JSON values."""
    folder = models_dir()
    rows = [asdict(known) | {"path": _there(folder / known.file)} for known in KNOWN]
    listed = {row["file"] for row in rows}
    for place in dict.fromkeys([folder, *pretrained_dirs()]):
        for file in sorted(place.iterdir() if place.is_dir() else ()):
            other = file.suffix in SUFFIXES or (place == folder and _record(file).is_file())
            if not other or file.name in listed or file.name.startswith("."):
                continue
            listed.add(file.name)
            about = Known(file.name, "", file.name, _recorded(file) or "", file.stat().st_size, "", "")
            rows.append(asdict(about) | {"path": str(file)})
    return rows


def get(
    name: str,
    url: str | None = None,
    sha256: str | None = None,
    from_file: Path | None = None,
    timeout: float = TIMEOUT,
    report: Callable[[str], None] = lambda text: None,
) -> Path:
    """Fetch a known model, or any file under a name of one's own, into models_dir().

    Args:
        name: a known name, or, with url or from_file, the file name that it shall have.
        url: another address than the known one.
        sha256: needed where none is known or recorded; where one is published, it must be that.
        from_file: the file, already here; its digest is recorded where none is known.
    Returns: where it is.
    Raises: UsageError, ModelError (unknown name), DownloadError, DiskError.
    """
    known = BY_NAME.get(name)
    if known is None and url is None and from_file is None:
        raise ModelError(f"no model {shown(name, 40)!r} is known; see models list, or give --url")
    if url is not None and from_file is not None:
        raise UsageError("--url and --from-file are two ways to the same file; give one of them")
    path = _place(name)
    sha256 = _sha256(name, sha256)
    size = known.size if known else None
    if from_file is not None:
        take(from_file, path, sha256, size, report)
        if sha256 is None:
            report(f"no digest of {path.name} is published; recording that of the file given")
    else:
        sha256 = sha256 or _recorded(path)
        if sha256 is None:
            it = f"fetch {known.url}" if known and not url else "fetch it"
            remedy = f"{it} yourself and give it by --from-file, or give --sha256"
            raise UsageError(f"no SHA-256 of {shown(name, 40)} is published; {remedy}")
        url = url or (known.url if known else "")
        report(f"fetching {name} from {url}")
        fetch(url, path, sha256, size, timeout, report)
    sha256 = sha256 or digest(path)
    if _recorded(path) != sha256:
        _record(path).write_text(f"{sha256}  {path.name}\n")
    return path


def find(name: str) -> Path | None:
    """The fetched file of a known name, or of that file name; None if it is not here."""
    try:
        path = _place(name)
        return path if path.is_file() else None
    except (UsageError, OSError, ValueError):
        return None


def where(name: str) -> Path:
    """As find. Raises: ModelError (exit 4) when the file is not here, saying how to get it."""
    if path := find(name):
        return path
    if name in BY_NAME:
        raise ModelError(f"{name} is not here; get it by stylegan-toon models get {name}")
    raise ModelError(f"no model {shown(name, 40)!r} was fetched; see stylegan-toon models list")


def verify(name: str) -> str:
    """Read a fetched file again; the digest it has.

    Raises: ModelError if it is not here, DownloadError (exit 10) if it is not what was fetched.
    """
    path = where(name)
    wanted = BY_NAME[name].sha256 if name in BY_NAME else ""
    wanted = wanted or _recorded(path) or ""
    found = digest(path)
    if not wanted:
        raise DownloadError(f"{shown(path)}: no digest is known; it has {found}")
    if found != wanted:
        again = f"stylegan-toon models get {name}"
        raise DownloadError(f"{shown(path, 60)} has SHA-256 {found[:12]}..., not {wanted[:12]}...; {again}")
    return found


def fetched() -> list[str]:
    """The names of all that is in models_dir() with a known or recorded digest."""
    folder = models_dir()
    names = [known.name for known in KNOWN if (folder / known.file).is_file()]
    files = {BY_NAME[name].file for name in names}
    return names + sorted(
        record.stem
        for record in (folder.glob("*.sha256") if folder.is_dir() else ())
        if record.stem not in files and record.with_suffix("").is_file()
    )


def remove(name: str) -> Path:
    """Delete a fetched file and what belongs to it; where it was. Raises: ModelError, DiskError."""
    path = _place(name)
    if not (path.parent.is_dir() and delete(path)):
        where(name)
    _record(path).unlink(missing_ok=True)
    return path


def _place(name: str) -> Path:
    file = BY_NAME[name].file if name in BY_NAME else name
    plain = Path(file).name == file and file.isprintable() and 0 < len(file) <= 200
    if not plain or file.startswith("."):
        raise UsageError(f"{shown(name, 60)!r} is no file name; give one without folders")
    return models_dir() / file


def _sha256(name: str, given: str | None) -> str | None:
    """The digest the file must have: the known one, or the given one, which must not contradict it."""
    known = BY_NAME[name].sha256 if name in BY_NAME else ""
    given = given.strip().lower() if given is not None else None
    if given is not None and not SHA256.fullmatch(given):
        raise UsageError(f"--sha256 {shown(given, 40)!r} is none; give its 64 hexadecimal digits")
    if known and given not in (None, known):
        raise UsageError(f"{name} has SHA-256 {known[:12]}..., not the given one; leave --sha256 out")
    return known or given


def _record(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _recorded(path: Path) -> str | None:
    """The digest that was written down, in the form of sha256sum, when the file was fetched."""
    try:
        start = _record(path).read_text()[:64]
    except (OSError, UnicodeDecodeError):
        return None
    return start if SHA256.fullmatch(start) else None


def _there(path: Path) -> str | None:
    return str(path) if path.is_file() else None
