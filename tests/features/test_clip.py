"""CLIP against NumPy in float64 and, where it is installed, clip-anytorch; files and texts of all kinds."""

import math
import re
import sys
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from stylegan_toon.checkpoint.format import Checkpoint, save
from stylegan_toon.checkpoint.importers.clip import BEGIN, END, from_clip, to_clip, used
from stylegan_toon.config import to_json
from stylegan_toon.errors import MissingPartError, ModelError, UsageError
from stylegan_toon.features import compat
from stylegan_toon.features.clip import CLIP, MEAN, STD, Clip, Config, build_clip, load_clip, read_clip
from stylegan_toon.features.clip_resnet import AttentionPool
from stylegan_toon.features.clip_words import BytePairs, Words
from stylegan_toon.paths import pretrained_file

TINY = Config(
    embed=8, size=16, patch=8, width=64, layers=1, text_width=64, text_layers=2, context=12, tokens=40
)
KNOWN = {"a": [320], "really": [1414], "sad": [3719], "face": [1710], "unibrow": [569, 4022, 518], ",": [267]}


def tiny(**changes) -> CLIP:
    net = CLIP(Config(**(to_json(TINY) | changes))).eval()
    for parameter in net.parameters():  # biases and norms start at 0 and 1, which would hide mistakes
        parameter.data += torch.randn_like(parameter) * 0.05
    return net


def small() -> Clip:
    return Clip(tiny(tokens=len(used(KNOWN))), Words(KNOWN)).requires_grad_(False)


def archive(path: Path, net: CLIP, half: bool = False) -> Path:
    """net as OpenAI publishes theirs: a TorchScript archive with programs in it."""
    net.register_buffer("input_resolution", torch.tensor(net.config.size))
    x, tokens = (
        torch.randn(2, 3, net.config.size, net.config.size),
        torch.randint(0, 9, (2, net.config.context)),
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.jit.trace_module(net, {"encode_image": x, "encode_text": tokens}, check_trace=False)
        torch.jit.save(program.half() if half else program, path)
    return path


def norm(x: np.ndarray, weight: np.ndarray, bias: np.ndarray) -> np.ndarray:
    x = x - x.mean(-1, keepdims=True)
    return x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-5) * weight + bias


def tower(p: dict[str, np.ndarray], prefix: str, x: np.ndarray, layers: int, causal: bool) -> np.ndarray:
    """One sequence [T, W] through a transformer, head by head and place by place."""
    for k in range(layers):
        b = {
            n.removeprefix(f"{prefix}.resblocks.{k}."): v
            for n, v in p.items()
            if f"{prefix}.resblocks.{k}." in n
        }
        h = norm(x, b["ln_1.weight"], b["ln_1.bias"])
        q, key, v = np.split(h @ b["attn.in_proj_weight"].T + b["attn.in_proj_bias"], 3, axis=1)
        out = np.zeros_like(x)
        for at in range(0, x.shape[1], 64):
            head = slice(at, at + 64)
            for t in range(len(x)):
                seen = slice(0, t + 1 if causal else len(x))
                scores = np.exp(key[seen, head] @ q[t, head] / 8)
                out[t, head] = scores @ v[seen, head] / scores.sum()
        x = x + out @ b["attn.out_proj.weight"].T + b["attn.out_proj.bias"]
        h = norm(x, b["ln_2.weight"], b["ln_2.bias"]) @ b["mlp.c_fc.weight"].T + b["mlp.c_fc.bias"]
        x = x + (h / (1 + np.exp(-1.702 * h))) @ b["mlp.c_proj.weight"].T + b["mlp.c_proj.bias"]
    return x


def numpy_parameters(net: CLIP) -> dict[str, np.ndarray]:
    return {name: value.detach().double().numpy() for name, value in net.state_dict().items()}


def test_pictures_equal_float64_numpy() -> None:
    net = tiny(width=128)
    p, x = numpy_parameters(net), torch.randn(1, 3, 16, 16)
    own = {name.removeprefix("visual."): value for name, value in p.items() if name.startswith("visual.")}
    patches = [x[0, :, a : a + 8, b : b + 8].double().numpy() for a in (0, 8) for b in (0, 8)]
    rows = [own["class_embedding"]] + [(own["conv1.weight"] * patch).sum((1, 2, 3)) for patch in patches]
    y = norm(np.stack(rows) + own["positional_embedding"], own["ln_pre.weight"], own["ln_pre.bias"])
    y = tower(own, "transformer", y, 1, causal=False)[0]
    wanted = norm(y, own["ln_post.weight"], own["ln_post.bias"]) @ own["proj"]
    np.testing.assert_allclose(net.encode_image(x)[0].detach().numpy(), wanted, atol=2e-5)


def test_texts_equal_float64_numpy_and_what_comes_after_the_end_has_no_effect() -> None:
    net = tiny()
    tokens = torch.tensor([[3, 17, 5, 39, 0, 0], [3, 17, 5, 39, 8, 21]])
    own = {name: value for name, value in numpy_parameters(net).items() if not name.startswith("visual.")}
    x = own["token_embedding.weight"][tokens[0, :4]] + own["positional_embedding"][:4]
    y = norm(tower(own, "transformer", x, 2, causal=True), own["ln_final.weight"], own["ln_final.bias"])
    wanted = y[3] @ own["text_projection"]
    got = net.encode_text(tokens).detach().numpy()
    np.testing.assert_allclose(got[0], wanted, atol=2e-5)
    np.testing.assert_allclose(got[1], wanted, atol=2e-5)


def test_both_towers_equal_clip_anytorch() -> None:
    theirs = clip_anytorch("model")
    reference = theirs.CLIP(24, 32, 2, 128, 8, 77, 500, 64, 1, 3)
    checkpoint = from_clip(reference.state_dict())
    net = build_clip(checkpoint)
    x, tokens = torch.randn(3, 3, 32, 32), torch.randint(0, 499, (4, 77))
    torch.testing.assert_close(net.encode_image(x), reference.encode_image(x), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(net.encode_text(tokens), reference.encode_text(tokens), atol=1e-5, rtol=1e-5)


def test_pictures_through_a_resnet_equal_clip_anytorch() -> None:
    theirs = clip_anytorch("model")
    reference = theirs.CLIP(24, 64, (2, 1, 1, 2), 4, None, 77, 500, 64, 1, 1).eval()
    state = reference.state_dict()
    for name, value in state.items():
        if "bn" in name or "downsample.1" in name:  # means, variances and biases that would hide mistakes
            value.copy_(torch.rand(value.shape) * 0.5 + 0.5) if value.ndim else None
    net = build_clip(from_clip(state)).eval()
    assert net.config.stages == (2, 1, 1, 2) and net.config.size == 64
    x = torch.randn(3, 3, 64, 64)
    torch.testing.assert_close(net.encode_image(x), reference.encode_image(x), atol=1e-5, rtol=1e-5)


def test_a_resnet_has_the_parameters_that_are_published() -> None:
    with torch.device("meta"):
        net = CLIP(Config(1024, width=64, stages=(3, 4, 6, 3)))
    assert sum(p.numel() for p in net.parameters()) == 102_007_137  # RN50
    assert sum(p.numel() for p in net.visual.parameters()) == 38_316_896


def test_the_last_pooling_equals_float64_numpy() -> None:
    pool = AttentionPool(2, 128, 5).double()
    p = {name: value.detach().numpy() for name, value in pool.state_dict().items()}
    x = torch.randn(1, 128, 2, 2).double()
    places = [x[0, :, a, b].numpy() for a in (0, 1) for b in (0, 1)]
    rows = np.stack([np.mean(places, 0), *places]) + p["positional_embedding"]
    q, k, v = (rows @ p[f"{n}_proj.weight"].T + p[f"{n}_proj.bias"] for n in "qkv")
    out = np.zeros(128)
    for head in (slice(0, 64), slice(64, 128)):
        scores = np.exp(k[:, head] @ q[0, head] / 8)
        out[head] = scores @ v[:, head] / scores.sum()
    wanted = p["c_proj.weight"] @ out + p["c_proj.bias"]
    np.testing.assert_allclose(pool(x)[0].detach().numpy(), wanted, atol=1e-12)


def clip_anytorch(name: str):
    try:
        return compat.clip_module(name)
    except MissingPartError as missing:
        pytest.skip(str(missing))


@pytest.mark.parametrize("width, height", [(90, 70), (64, 90), (64, 64)])
def test_pictures_are_brought_to_size_as_pillow_does_it(width: int, height: int) -> None:
    clip = Clip(tiny(size=32), Words(KNOWN))
    pixels = np.random.default_rng(0).integers(60, 190, (height, width, 3), np.uint8)
    scale = 32 / min(width, height)
    resized = Image.fromarray(pixels).resize(
        (round(width * scale), round(height * scale)), Image.Resampling.BICUBIC
    )
    left, top = (resized.width - 32) // 2, (resized.height - 32) // 2
    wanted = np.asarray(resized.crop((left, top, left + 32, top + 32)), np.float64) / 255
    wanted = ((wanted - MEAN) / STD).transpose(2, 0, 1)
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].double() / 127.5 - 1
    got = clip.double().preprocess(x)[0].numpy()
    np.testing.assert_allclose(
        got, wanted, atol=1.01 / 255 / min(STD)
    )  # Pillow rounds between its two passes


def test_gradients_reach_every_pixel_and_no_weight() -> None:
    clip = small()
    x = (torch.rand(2, 3, 40, 40) * 2 - 1).requires_grad_()
    embedded = clip.image(x)
    torch.testing.assert_close(embedded.norm(dim=1), torch.ones(2))
    (embedded @ clip.text(["a really sad face"]).T).sum().backward()
    assert x.grad is not None and (x.grad.abs().amin(1) > 0).float().mean() > 0.99
    x = torch.rand(1, 3, 20, 20, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(clip.double().image, x, atol=1e-4, nondet_tol=1e-9, fast_mode=True)


def test_another_shape_and_a_bare_text_are_refused() -> None:
    for shape in ((3, 16, 16), (1, 1, 16, 16), (1, 3, 0, 16)):
        with pytest.raises(ValueError, match="expected pictures"):
            small().image(torch.zeros(shape))
    with pytest.raises(ValueError, match="list of texts"):
        small().text("a face")  # type: ignore[arg-type]


def test_the_words_of_a_text_become_the_rows_of_the_models_own_table() -> None:
    rows = {number: i for i, number in enumerate(used(KNOWN))}
    wanted = [rows[n] for n in (BEGIN, 320, 3719, 267, 569, 4022, 518, END)]
    assert small().tokens(["A sad,   UNIBROW", "face"]).tolist() == [
        wanted,
        [rows[BEGIN], rows[1710], rows[END], 0, 0, 0, 0, 0],
    ]


def test_words_are_parted_as_openai_parts_them() -> None:
    tokenizer = clip_anytorch("simple_tokenizer").SimpleTokenizer()
    text = "a man's really-sad face, it's 25!! don't"
    pieces = (
        re.findall(tokenizer.pat, text)
        if isinstance(tokenizer.pat, re.Pattern)
        else tokenizer.pat.findall(text)
    )
    words = Words({piece: tokenizer.encode(piece) for piece in pieces})
    numbers = used({piece: tokenizer.encode(piece) for piece in pieces})
    assert [numbers[row] for row in words.encode(text)] == tokenizer.encode(text)


@pytest.mark.parametrize(
    "text, said",
    [
        ("a cyberpunk face", '"cyberpunk" is not a word this small model knows'),
        ("a neon cyberpunk neon face", '"neon", "cyberpunk" are not words this small model knows'),
        ("", "the text is empty"),
        (" \n\t", "the text is empty"),
        ("a really sad face " * 4, "16 tokens, and CLIP reads 10"),
        ("x" * 5000, "is not a word"),
        ("\u202e\0 \ud800", "not"),
    ],
)
def test_texts_that_cannot_be_read_are_refused_in_one_line(text: str, said: str) -> None:
    with pytest.raises(UsageError) as refused:
        small().text([text])
    line = str(refused.value)
    assert said in line and "\n" not in line and len(f"Error: {line}") <= 200
    if "small model" in line:
        assert "clip-vit-b-32" in line


def test_without_clip_anytorch_its_words_are_missing_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.path", [str(tmp_path)])
    monkeypatch.setitem(sys.modules, "_clip_anytorch_simple_tokenizer", None)  # gone again afterwards
    monkeypatch.delitem(sys.modules, "_clip_anytorch_simple_tokenizer")
    with pytest.raises(MissingPartError, match="pip install --no-deps clip-anytorch"):
        BytePairs().encode("a face")
    (tmp_path / "clip").mkdir()
    (tmp_path / "clip/__init__.py").write_text(
        "from pkg_resources import packaging\n"
    )  # as clip-anytorch 2.6
    (tmp_path / "clip/simple_tokenizer.py").write_text("import no_such_module\n")
    with pytest.raises(MissingPartError, match="no_such_module"):
        BytePairs().encode("a face")
    (tmp_path / "clip/simple_tokenizer.py").write_text(
        "class SimpleTokenizer:\n    def encode(self, t): return [len(t)]\n"
    )
    assert BytePairs().encode("a face") == [6]  # although `import clip` fails


@pytest.mark.parametrize("half", [False, True])
def test_an_archive_of_torchscript_is_read_without_its_program(tmp_path: Path, half: bool) -> None:
    net = tiny()
    clip = load_clip(archive(tmp_path / "clip.pt", net, half))
    assert clip.net.config == TINY and isinstance(clip.words, BytePairs)
    x = torch.rand(2, 3, 16, 16) * 2 - 1
    wanted = torch.nn.functional.normalize(net.float().encode_image(clip.preprocess(x)))
    torch.testing.assert_close(clip.image(x), wanted)


@pytest.mark.parametrize("old", [False, True])
def test_a_state_dict_and_a_file_of_ours_give_the_same(tmp_path: Path, old: bool) -> None:
    net = tiny()
    torch.save(net.state_dict(), tmp_path / "a.pt", _use_new_zipfile_serialization=not old)
    save(tmp_path / "a.safetensors", Checkpoint("clip", to_json(TINY), {}, net.state_dict()))
    x = torch.rand(2, 3, 20, 20)
    assert torch.equal(load_clip(tmp_path / "a.pt").image(x), load_clip(tmp_path / "a.safetensors").image(x))


def test_an_archive_with_a_resnet_is_read_and_written(tmp_path: Path) -> None:
    config = Config(8, 32, 32, 4, 0, 64, 1, 12, 40, (1, 1, 1, 1))
    net = CLIP(config).eval()
    x = torch.rand(2, 3, 32, 32)
    clip = load_clip(archive(tmp_path / "clip.pt", net))
    assert clip.net.config == config
    torch.testing.assert_close(clip.net.encode_image(x), net.encode_image(x))
    save(tmp_path / "a.safetensors", Checkpoint("clip", to_json(config), {}, clip.net.state_dict()))
    assert torch.equal(clip.image(x), load_clip(tmp_path / "a.safetensors").image(x))


@pytest.mark.parametrize("change", [{"stages": [1, 1]}, {"stages": ["a"] * 4}, {"size": 70}, {"width": 3}])
def test_a_resnet_of_sizes_that_cannot_be_is_refused(change: dict[str, object]) -> None:
    config = to_json(Config(8, 32, 32, 4, 0, 64, 1, 12, 40, (1, 1, 1, 1))) | change
    with pytest.raises(ModelError, match="sizes that no CLIP has"):
        build_clip(Checkpoint("clip", config, {}, {}))


def test_a_small_model_in_openais_layout_reads_its_words_as_before(tmp_path: Path) -> None:
    clip = small()
    checkpoint = Checkpoint("clip", to_json(clip.net.config), {"words": KNOWN}, clip.net.state_dict())
    state = to_clip(checkpoint)
    assert (
        state["token_embedding.weight"].shape == (49_408, 64) and state["visual.proj"].dtype == torch.float16
    )
    whole = build_clip(from_clip(state))
    tokens = torch.tensor([[BEGIN, 320, 1414, 3719, 1710, END]])
    torch.testing.assert_close(
        torch.nn.functional.normalize(whole.encode_text(tokens)),
        clip.text(["a really sad face"]),
        atol=5e-3,
        rtol=0,
    )
    never = state["token_embedding.weight"][[5, 40_000]]
    assert torch.equal(never[0], never[1])
    with pytest.raises(ModelError, match="not a CLIP"):
        to_clip(Checkpoint("generator", {}))


def test_the_model_that_ships_reads_words_of_faces_and_no_others() -> None:
    clip = load_clip()
    texts = [
        "a really sad face",
        "A photo of a happy woman with black hair and glasses",
        "an angry man with a beard",
    ]
    embedded = clip.text(texts)
    assert embedded.shape == (3, 128) and float((embedded @ embedded.T).fill_diagonal_(-1).max()) < 0.95
    with pytest.raises(UsageError, match='"cyberpunk" is not a word this small model knows'):
        clip.text(["a cyberpunk face"])


def test_clip_load_of_clip_anytorch_opens_the_model_that_ships(tmp_path: Path) -> None:
    theirs = pytest.importorskip("clip", exc_type=ImportError)
    torch.save(to_clip(read_clip(pretrained_file("clip-faces.safetensors"))), tmp_path / "clip-faces.pt")
    model, _ = theirs.load(str(tmp_path / "clip-faces.pt"), device="cpu")
    ours, texts = load_clip(), ["a really sad face", "a photo of a happy man with black hair and glasses"]
    found = torch.nn.functional.normalize(model.encode_text(theirs.tokenize(texts)).detach())
    torch.testing.assert_close(found, ours.text(texts), atol=5e-3, rtol=0)
    x = torch.rand(2, 3, 64, 64) * 2 - 1
    found = torch.nn.functional.normalize(model.encode_image(ours.preprocess(x)).detach())
    torch.testing.assert_close(found, ours.image(x), atol=5e-3, rtol=0)


def broken(what: str, state: dict[str, torch.Tensor]) -> object:
    if what == "missing":
        del state["visual.proj"]
    elif what == "left over":
        state["visual.more"] = torch.ones(3)
    elif what == "shape":
        state["ln_final.weight"] = torch.ones(5)
    elif what == "width":
        state["visual.conv1.weight"] = torch.ones(65, 3, 8, 8)
    elif what == "not finite":
        state["ln_final.weight"][0] = math.nan
    elif what == "resnet":
        state["visual.attnpool.positional_embedding"] = torch.ones(5, 64)
    return [1, 2] if what == "list" else state


@pytest.mark.parametrize("what", ["missing", "left over", "shape", "width", "not finite", "resnet", "list"])
def test_files_of_another_kind_are_refused_in_one_line(tmp_path: Path, what: str) -> None:
    torch.save(broken(what, tiny().state_dict()), tmp_path / "a.pt")
    with pytest.raises(ModelError) as refused:
        load_clip(tmp_path / "a.pt")
    assert "a.pt" in str(refused.value) and "\n" not in str(refused.value) and len(str(refused.value)) <= 193


def test_files_that_are_no_files_of_weights_are_refused(tmp_path: Path) -> None:
    page, cut = tmp_path / "page.pt", tmp_path / "cut.pt"
    page.write_bytes(b"<!DOCTYPE html><html>not found</html>")
    whole = archive(tmp_path / "whole.pt", tiny()).read_bytes()
    cut.write_bytes(whole[: len(whole) // 2])
    for path in (page, cut, tmp_path / "none.pt", tmp_path):
        with pytest.raises(ModelError) as refused:
            load_clip(path)
        assert "\n" not in str(refused.value) and len(str(refused.value)) <= 193


def test_an_archive_that_multiplies_its_modules_is_refused(tmp_path: Path) -> None:
    new = b"c__torch__\nModule\n)\x81"
    pickle = b"\x80\x02" + new + b"q\x00"
    for k in range(40):  # each module holds the one before it twice
        twice = b"".join(b"X\x01\0\0\0" + name + b"h" + bytes([k]) for name in (b"a", b"b"))
        pickle += new + b"q" + bytes([k + 1]) + b"}(" + twice + b"ub"
    with zipfile.ZipFile(tmp_path / "many.pt", "w") as pack:
        pack.writestr("many/data.pkl", pickle + b".")
    with pytest.raises(ModelError, match="more than 20000 weights; do not trust"):
        load_clip(tmp_path / "many.pt")
