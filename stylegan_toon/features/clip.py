"""CLIP, pictures and texts in one space, differentiable in the picture: OpenAI's, and the small one here.

Source: Radford et al. 2021, arXiv 2103.00020; github.com/openai/CLIP (MIT), whose names the parameters keep.
"""

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stylegan_toon.checkpoint import format
from stylegan_toon.checkpoint.format import Checkpoint, read_regular
from stylegan_toon.checkpoint.importers import MAX_FOREIGN_BYTES, torch_file
from stylegan_toon.checkpoint.importers.clip import KIND, from_clip
from stylegan_toon.config import from_json
from stylegan_toon.errors import ModelError, UsageError, shown
from stylegan_toon.features.clip_resnet import ResNet
from stylegan_toon.features.clip_words import BytePairs, Words
from stylegan_toon.paths import pretrained_file

NAME = "clip-faces"  # the one that ships
MEAN = (0.48145466, 0.4578275, 0.40821073)  # of the pictures in [0, 1] that OpenAI's models were trained on
STD = (0.26862954, 0.26130258, 0.27577711)


@dataclass(frozen=True)
class Config:
    """Both towers; a head of attention is 64 wide. size: edge of the picture; tokens: rows of the table.

    stages: blocks in each of the four stages of a ResNet for pictures, whose size is 32 times that of its
    last map; patch and layers are a transformer's.
    """

    embed: int = 512
    size: int = 224
    patch: int = 32
    width: int = 768
    layers: int = 12
    text_width: int = 512
    text_layers: int = 12
    context: int = 77
    tokens: int = 49_408
    stages: tuple[int, ...] = ()


class Attention(nn.Module):
    """Self-attention with heads 64 wide; its parameters are called as nn.MultiheadAttention calls them."""

    def __init__(self, width: int):
        super().__init__()
        self.in_proj_weight = nn.Parameter(torch.randn(3 * width, width) * width**-0.5)
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * width))
        self.out_proj = nn.Linear(width, width)

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        qkv = F.linear(x, self.in_proj_weight, self.in_proj_bias)
        q, k, v = qkv.unflatten(2, (3, -1, 64)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, is_causal=causal)
        return self.out_proj(y.transpose(1, 2).flatten(2))


class Block(nn.Module):
    """x + attention(norm x), then x + mlp(norm x), with the sigmoid form of GELU."""

    def __init__(self, width: int, layers: int):
        super().__init__()
        self.attn = Attention(width)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        up, down = nn.Linear(width, 4 * width), nn.Linear(4 * width, width)
        self.mlp = nn.ModuleDict({"c_fc": up, "c_proj": down})
        for last in (self.attn.out_proj, down):  # smaller with depth, as OpenAI's begin
            nn.init.normal_(last.weight, std=(2 * layers * width) ** -0.5)

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        x = x + self.attn(self.ln_1(x), causal)
        y = self.mlp["c_fc"](self.ln_2(x))
        return x + self.mlp["c_proj"](y * torch.sigmoid(1.702 * y))


class Transformer(nn.Module):
    def __init__(self, width: int, layers: int):
        super().__init__()
        self.resblocks = nn.ModuleList(Block(width, layers) for _ in range(layers))

    def forward(self, x: Tensor, causal: bool) -> Tensor:
        for block in self.resblocks:
            x = block(x, causal)
        return x


class Vision(nn.Module):
    """Patches and one class token through a transformer; the class token is the picture's code."""

    def __init__(self, config: Config):
        super().__init__()
        width, scale = config.width, config.width**-0.5
        self.conv1 = nn.Conv2d(3, width, config.patch, config.patch, bias=False)
        self.class_embedding = nn.Parameter(torch.randn(width) * scale)
        places = (config.size // config.patch) ** 2 + 1
        self.positional_embedding = nn.Parameter(torch.randn(places, width) * scale)
        self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
        self.transformer = Transformer(width, config.layers)
        self.proj = nn.Parameter(torch.randn(width, config.embed) * scale)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_embedding.expand(len(x), 1, -1), x], dim=1) + self.positional_embedding
        x = self.transformer(self.ln_pre(x), causal=False)
        return self.ln_post(x[:, 0]) @ self.proj


class CLIP(nn.Module):
    """The two towers, under OpenAI's names."""

    def __init__(self, config: Config):
        super().__init__()
        self.config = config
        self.visual: Vision | ResNet = (
            ResNet(config.width, config.stages, config.size // 32, config.embed)
            if config.stages
            else Vision(config)
        )
        self.transformer = Transformer(config.text_width, config.text_layers)
        self.token_embedding = nn.Embedding(config.tokens, config.text_width)
        self.positional_embedding = nn.Parameter(torch.randn(config.context, config.text_width) * 0.01)
        self.ln_final = nn.LayerNorm(config.text_width)
        self.text_projection = nn.Parameter(
            torch.randn(config.text_width, config.embed) * config.text_width**-0.5
        )
        self.logit_scale = nn.Parameter(torch.tensor(1 / 0.07).log())
        nn.init.normal_(self.token_embedding.weight, std=0.02)

    def encode_image(self, x: Tensor) -> Tensor:
        """[N, 3, size, size], normalised, to [N, embed], of any length."""
        return self.visual(x)

    def encode_text(self, tokens: Tensor) -> Tensor:
        """[N, T] int64, T up to context, to [N, embed], of any length.

        A text's code is read at its end mark, the highest number in it; what comes after has no effect.
        """
        x = self.token_embedding(tokens) + self.positional_embedding[: tokens.shape[1]]
        x = self.ln_final(self.transformer(x, causal=True))
        return x[torch.arange(len(x)), tokens.argmax(1)] @ self.text_projection


class Clip(nn.Module):
    """A CLIP with what belongs before it: how pictures and words become its inputs."""

    def __init__(self, net: CLIP, words: Words | BytePairs):
        super().__init__()
        self.net, self.words = net, words
        self.size = net.config.size

    def image(self, x: Tensor) -> Tensor:
        """Embed pictures.

        Args:
            x: [N, 3, H, W], RGB in [-1, 1], any size; not clamped, so that gradients reach all of it.
        Returns: [N, embed] of length 1, in the network's dtype, differentiable in x.
        Raises: ValueError if x is not [N, 3, H, W].
        """
        return F.normalize(self.net.encode_image(self.preprocess(x)))

    def preprocess(self, x: Tensor) -> Tensor:
        """[N, 3, H, W] in [-1, 1] to the network's [N, 3, size, size]: bicubic with antialiasing, centre."""
        if x.ndim != 4 or x.shape[1] != 3 or 0 in x.shape:
            raise ValueError(f"expected pictures [N, 3, H, W], got {list(x.shape)}")
        x = x.to(self.net.text_projection.dtype)
        height, width = (max(round(self.size * side / min(x.shape[2:])), self.size) for side in x.shape[2:])
        if (height, width) != x.shape[2:]:
            x = F.interpolate(x, (height, width), mode="bicubic", antialias=True)
        top, left = (height - self.size) // 2, (width - self.size) // 2
        x = x[:, :, top : top + self.size, left : left + self.size]
        mean, std = (x.new_tensor(values)[:, None, None] for values in (MEAN, STD))
        return (x * 0.5 + 0.5 - mean) / std

    def text(self, texts: list[str]) -> Tensor:
        """Embed texts: [N, embed] of length 1.

        Raises: UsageError for a text that is empty, too long, or holds words that the model never saw;
            MissingPartError where the words of OpenAI's models need clip-anytorch.
        """
        if isinstance(texts, str):
            raise ValueError("expected a list of texts, got one text")
        return F.normalize(self.net.encode_text(self.tokens(texts).to(self.net.text_projection.device)))

    def tokens(self, texts: list[str]) -> Tensor:
        """[N, T] int64: begin mark, words, end mark, then 0; T is the longest. Raises: as text."""
        most = self.net.config.context - 2
        rows = [[self.words.begin, *self._words(text, most), self.words.end] for text in texts]
        out = torch.zeros(len(rows), max(map(len, rows), default=2), dtype=torch.long)
        for i, row in enumerate(rows):
            out[i, : len(row)] = torch.tensor(row)
        return out

    def _words(self, text: str, most: int) -> list[int]:
        if not text.strip():
            raise UsageError("the text is empty; say what the face shall look like: 'a really sad face'")
        found = self.words.encode(text)
        if len(found) > most:
            raise UsageError(f"the text has {len(found)} tokens, and CLIP reads {most}; shorten it")
        return found


def load_clip(path: str | Path | None = None, device: str | torch.device = "cpu") -> Clip:
    """CLIP in float32, frozen: gradients pass to the picture, none to the weights.

    Args:
        path: one of OpenAI's files (TorchScript archives as they publish them, of which no code is run, or a
            state dict), or one of this project; None or "clip-faces" takes the one that ships.
    Raises: ModelError when the file is missing, broken or holds no such model.
    """
    if path is None or str(path) == NAME:
        path = pretrained_file(f"{NAME}.safetensors")
        if path is None:
            raise ModelError(f"{NAME}.safetensors is missing; put it into pretrained/ or install again")
    checkpoint = read_clip(path)
    try:
        net = build_clip(checkpoint)
    except ModelError as error:
        raise ModelError(f"{shown(path, 60)}: {error}"[:200]) from None
    words = Words(checkpoint.meta["words"]) if "words" in checkpoint.meta else BytePairs()
    return Clip(net.eval().requires_grad_(False).to(device), words)


def read_clip(path: str | Path) -> Checkpoint:
    """The checkpoint of kind "clip" in a file of ours or of OpenAI's. Raises: ModelError."""
    data = read_regular(path, MAX_FOREIGN_BYTES)
    if not torch_file.is_torch_file(data):
        return format.loads(data, path, KIND)
    try:
        return from_clip(torch_file.read_weights(data))
    except ModelError as error:
        raise ModelError(f"{shown(path, 60)}: {error}"[:200]) from None


def build_clip(checkpoint: Checkpoint) -> CLIP:
    """The network in float32.

    Raises: ModelError where weights and configuration disagree, its message without the file's name.
    """
    config = from_json(Config, checkpoint.config)
    sizes = [config.embed, config.size, config.text_width, config.text_layers, config.context, config.tokens]
    sizes += [config.width, *(config.stages or (config.patch, config.layers))]
    heads = config.width * 32 if config.stages else config.width
    odd = len(config.stages) not in (0, 4) or (config.stages and config.size % 32)
    if odd or any(type(n) is not int or n < 1 for n in sizes) or heads % 64 or config.text_width % 64:
        raise ModelError("is of sizes that no CLIP has; get it again")
    with torch.device("meta"):
        wanted = CLIP(config).state_dict()
    found = checkpoint.tensors
    names = sorted(wanted.keys() | found.keys())
    wrong = [n for n in names if n not in wanted or n not in found or found[n].shape != wanted[n].shape]
    if wrong:
        raise ModelError(f"{len(wrong)} tensors, {wrong[0][:50]!r} first, are not of this CLIP; get it again")
    net = CLIP(config)
    net.load_state_dict({name: tensor.float() for name, tensor in found.items()})
    return net
