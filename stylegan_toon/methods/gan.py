"""What training from scratch and fine-tuning share: the two players, their penalties, ADA and EMA.

Source: Karras et al. 2020, arXiv 1912.04958 (losses, lazy regularisation) and arXiv 2006.06676 (ADA, EMA);
Huang et al. 2024, arXiv 2501.05441 (the relativistic pairing loss with R1 and R2; here both are lazy).
Deviation: R1 is taken at the augmented picture that D sees, not through the augmentation.
"""

import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from stylegan_toon.device import channels_last
from stylegan_toon.errors import UsageError
from stylegan_toon.losses.adversarial import logistic_d, logistic_g, relativistic_d, relativistic_g
from stylegan_toon.losses.regularize import path_length_penalty, r1_penalty
from stylegan_toon.nn.modulated import StyledConv
from stylegan_toon.stylegan2.discriminator import Discriminator
from stylegan_toon.stylegan2.generator import Generator, Synthesis
from stylegan_toon.training import ranks
from stylegan_toon.training.augment import Augment
from stylegan_toon.training.ema import ema_beta, update_ema

LOSSES = ("nonsaturating", "saturating", "relativistic")
Places = Tensor | slice  # of pictures in a batch
EVERY = slice(None)


@dataclass(frozen=True)
class GanConfig:
    """Defaults are the paper's at 256 px; a weight of 0 turns its term off."""

    batch: int = 16
    lr: float = 0.002
    noise_lr: float = 1.0  # factor on lr for noise strengths; 0 freezes them and trains without noise
    loss: str = "nonsaturating"  # or saturating, CPTR's eq. 1; or relativistic, whose R2 has R1's weight
    r1_weight: float = 10.0
    r1_every: int = 16
    path_weight: float = 2.0
    path_every: int = 4
    mixing: float = 0.9
    ema_images: float = 10_000.0
    ema_ramp: float = 0.05
    ada_p: float = 0.0
    ada_target: float = 0.6  # 0 holds p at ada_p
    ada_images: int = 500_000
    fade_images: int = 0  # while a grown block fades into D
    bf16: bool = False


class Gan(nn.Module):
    """g, d, g_ema and everything a step remembers about them.

    With several processes each takes its places of a batch, see mine; what is drawn is drawn for all of it.
    """

    path_mean: Tensor

    def __init__(self, g: Generator, d: Discriminator, config: GanConfig, g_ema: Generator | None = None):
        """Raises: UsageError where the batch cannot be shared by the processes that there are."""
        super().__init__()
        if config.loss not in LOSSES:
            raise ValueError(f"loss must be one of {', '.join(LOSSES)}, not {config.loss!r}")
        self.config = config
        self.g, self.d = g.train().requires_grad_(True), d.train().requires_grad_(True)
        self.g_ema = copy.deepcopy(g_ema or g).eval().requires_grad_(False)
        self.augment = Augment(config.ada_p, config.ada_target, config.ada_images)
        self.register_buffer("path_mean", torch.zeros([]))
        self.parts = 1
        self._p: float | None = None  # ADA's, as the step began
        (size, groups), world = self.groups(config.batch).shape, ranks.world()
        if groups % world:
            whole = d.config.group * world
            raise UsageError(
                f"a batch of {config.batch} is {groups} groups of {size} pictures, which {world} processes "
                f"cannot share evenly; use --batch {-(-config.batch // whole) * whole}"
            )
        self.noise = "random" if config.noise_lr else "none"
        dtype = torch.bfloat16 if config.bf16 else torch.float32
        for network in (self.g.synthesis, self.d):
            network.compute_dtype = dtype
        channels_last(self)

    def optimizers(self, frozen: Iterable[nn.Parameter] = ()) -> dict[str, Optimizer]:
        """Adam(0, 0.99) for both players, corrected for lazy regularisation; frozen parameters stay out."""
        skip = {id(p) for p in frozen}
        config = self.config
        if not config.noise_lr:
            skip |= {id(p) for name, p in self.g.named_parameters() if name.endswith("noise_strength")}
        if config.loss == "relativistic":
            skip.add(id(self.d.out.bias))  # it cancels in every difference
        fused = self.path_mean.device.type != "mps"
        out: dict[str, Optimizer] = {}
        for key, network, every, lazy in (
            ("g", self.g, config.path_every, config.path_weight),
            ("d", self.d, config.r1_every, config.r1_weight),
        ):
            ratio = every / (every + 1) if lazy else 1.0
            groups: dict[float, list[nn.Parameter]] = {}
            for name, parameter in network.named_parameters():
                parameter.requires_grad_(id(parameter) not in skip)
                if parameter.requires_grad:
                    factor = config.noise_lr if name.endswith("noise_strength") else 1.0
                    groups.setdefault(factor, []).append(parameter)
            params = [{"params": p, "lr": config.lr * ratio * factor} for factor, p in groups.items()]
            out[key] = Adam(params, lr=config.lr * ratio, betas=(0.0, 0.99**ratio), eps=1e-8, fused=fused,
                            capturable=self.path_mean.device.type == "cuda")  # fmt: skip
        return out

    def take_parts(self, parts: int) -> bool:
        """Take every batch in so many parts, as training.method.Method has it.

        Each part holds whole minibatch-stddev groups, the same ones as the whole batch; False if there are
        fewer groups than parts.
        """
        possible = len(self.groups(self.config.batch)[0]) // ranks.world() >= parts
        self.parts = parts if possible else self.parts
        return possible

    def groups(self, n: int) -> Tensor:
        """[group, n / group], the places in a batch of n; each column is a group of MinibatchStdDev."""
        size = next(k for k in range(min(self.d.config.group, n), 0, -1) if n % k == 0)
        return torch.arange(n).reshape(size, -1)

    def mine(self, n: int) -> Places:
        """This process's places in a batch of n: all, or as many whole groups as every other process has."""
        if ranks.world() == 1:
            return slice(n)
        return self.groups(n).tensor_split(ranks.world(), 1)[ranks.rank()].flatten()

    def places(self, n: int) -> list[Tensor] | list[slice]:
        """The places of each part in this process's n pictures, whole groups in it; together all n."""
        if self.parts == 1 or not n:
            return [slice(n)] if n else []
        return [part.flatten() for part in self.groups(n).tensor_split(self.parts, 1) if part.numel()]

    def fade(self, i: int) -> float:
        """How much of D's newest block counts at step i, 0 to 1."""
        return min(1.0, i * self.config.batch / self.config.fade_images) if self.config.fade_images else 1.0

    def draw_w(self, n: int, at: Places = EVERY) -> Tensor:
        """Random w_plus at m places of n [m, L, D], mixed at one crossover with probability config.mixing."""
        return self.codes(self.draw_z(n, at))

    def draw_z(self, n: int, at: Places = EVERY) -> list[Tensor]:
        """z [m, Z] at m places of n; if codes are mixed also the other z, and the layer where it begins."""
        config, device = self.g.config, self.g.w_mean.device
        drawn = [torch.randn(n, config.z_dim, device=device)[at]]
        if self.config.mixing and float(torch.rand([])) < self.config.mixing:
            crossover = torch.randint(1, config.n_layers, [])
            drawn += [torch.randn(n, config.z_dim, device=device)[at], crossover.to(device)]
        return drawn

    def codes(self, drawn: Sequence[Tensor]) -> Tensor:
        """w_plus [m, L, D] of what draw_z gave."""
        w = self.g.codes(drawn[0])
        if len(drawn) > 1:
            before = torch.arange(self.g.config.n_layers, device=w.device) < drawn[2]
            w = torch.where(before[:, None], w, self.g.codes(drawn[1]))
        return w

    def draw_noise(self, n: int, at: Places = EVERY) -> str | list[Tensor]:
        """The noise of n pictures at some places, layer by layer as a generator would draw it."""
        if self.noise == "none":
            return self.noise
        layers = [m for m in self.g.synthesis.modules() if isinstance(m, StyledConv)]
        return [torch.randn(n, 1, *m.noise_const.shape, device=self.g.w_mean.device)[at] for m in layers]

    def draw_views(self, n: int, at: Places = EVERY) -> list[Tensor]:
        """What ADA does to n drawn pictures and, of a loss of pairs, to n real ones, at some places."""
        pair = self.config.loss == "relativistic"
        return [view[at] for _ in range(1 + pair) for view in self.augment.draw(n, self._p)]

    def draw_sight(self, n: int, at: Places = EVERY) -> list[Tensor]:
        """What ADA does to n real pictures before D learns from them, and to n made ones, at some places."""
        self._p = float(self.augment.p)  # once a step, at its beginning, when a GPU has nothing left to do
        return [view[at] for _ in range(2) for view in self.augment.draw(n, self._p)]

    def seen(self, pictures: Sequence[Tensor], views: Sequence[Tensor]) -> list[Tensor]:
        """Real pictures, or those and made ones, as D sees them; views: what draw_sight gave. No graph."""
        half = len(views) // 2
        with torch.no_grad():
            parts = zip(pictures, (views[:half], views[half:]), strict=False)
            return [self.augment(x, its_views) for x, its_views in parts]

    def step_d(self, real: Tensor, fake: Tensor, opt: Optimizer, i: int) -> dict[str, Tensor]:
        """One discriminator step, its R1 step every r1_every steps, and ADA's count."""
        fade, n = self.fade(i), len(real) * ranks.world()
        pictures = self.seen((real, fake), self.draw_sight(n, self.mine(n)))
        out = self.learn_d(pictures[0], pictures[1], opt, fade)
        self.count(out, n, i)
        if self.penalised(i):
            out |= self.step_penalty(pictures, fade, opt)
        return out

    def penalised(self, i: int) -> bool:
        """Whether step i has an R1 step."""
        return bool(self.config.r1_weight) and i % self.config.r1_every == 0

    def count(self, figures: dict[str, Tensor], n: int, i: int) -> None:
        """Tell ADA what learn_d returned of n pictures; "d/sign" becomes a mean, and "ada/p" is added."""
        self.augment.update(figures["d/sign"], n, i)
        figures["d/sign"] = figures["d/sign"] / n
        figures["ada/p"] = self.augment.p.clone()

    def learn_d(self, seen_real: Tensor, seen_fake: Tensor, opt: Optimizer, fade: float) -> dict[str, Tensor]:
        """One discriminator step on pictures as seen gave them; "d/sign" is a sum over them."""
        paired = self.config.loss == "relativistic"
        self._let_d_learn(opt)
        n = len(seen_real) * ranks.world()
        share = len(seen_real) / n
        opt.zero_grad()
        parts = []
        for at in self.places(len(seen_real)):
            scores = self.d(seen_real[at], fade), self.d(seen_fake[at], fade)
            loss = (relativistic_d if paired else logistic_d)(*scores) * (len(scores[0]) / n)
            loss.backward()
            parts.append((loss.detach(), *(score.detach() for score in scores)))
        loss = torch.stack([part[0] for part in parts]).sum()
        real_scores, fake_scores = (torch.cat(scores) for scores in zip(*(p[1:] for p in parts), strict=True))
        # What ADA counts is how often D is right about a real picture; of a pair, the difference tells.
        right = real_scores - fake_scores if paired else real_scores
        figures = {
            "d": loss,
            "d/real": real_scores.mean() * share,
            "d/fake": fake_scores.mean() * share,
            "d/sign": right.sign().float().sum(),
        }
        out = ranks.share(opt, figures)
        opt.step()
        self.d.requires_grad_(False)
        return {name: value.detach() for name, value in out.items()}

    def _let_d_learn(self, opt: Optimizer) -> None:
        for group in opt.param_groups:
            for parameter in group["params"]:
                parameter.requires_grad_(True)

    def step_penalty(self, pictures: Sequence[Tensor], fade: float, opt: Optimizer) -> dict[str, Tensor]:
        """One step on R1 of real pictures as seen, and with a loss of pairs on R2 of made ones."""
        self._let_d_learn(opt)
        opt.zero_grad()
        kinds = 2 if self.config.loss == "relativistic" else 1
        seen = dict(zip(("d/r1", "d/r2")[:kinds], pictures, strict=False))
        penalties: dict[str, Tensor] = {}
        with _in_float32(self.d):
            for name, batch in seen.items():
                penalties[name] = batch.new_zeros([])
                for at in self.places(len(batch)):
                    shown = batch[at].detach().requires_grad_()
                    share = len(shown) / (len(batch) * ranks.world())
                    part = r1_penalty(self.d(shown, fade), shown) * share
                    (part * self.config.r1_weight * self.config.r1_every).backward()
                    penalties[name] = penalties[name] + part.detach()
        penalties = ranks.share(opt, penalties)
        opt.step()
        self.d.requires_grad_(False)
        return penalties

    def loss_g(self, fake: Tensor, real: Tensor, i: int, views: Sequence[Tensor]) -> Tensor:
        """The generator's adversarial loss on pictures [N, 3, H, W], a scalar with a graph.

        real: as many pictures, to pair with; only the relativistic loss looks at them.
        views: what draw_views gave, for these pictures.
        """
        scores = self.d(self.augment(fake, views[:2]), self.fade(i))
        if self.config.loss != "relativistic":
            return logistic_g(scores, self.config.loss == "saturating")
        with torch.no_grad():
            wanted = self.d(self.augment(real, views[2:]), self.fade(i))
        return relativistic_g(wanted, scores)

    def step_g(
        self,
        w_plus: Tensor,
        losses: Callable[[Tensor, Places], tuple[Tensor, dict[str, Tensor]]],
        opt: Optimizer,
    ) -> dict[str, Tensor]:
        """One generator step on this process's codes [N, L, D], with the mapping's graph if it is trained.

        Args:
            losses: of codes [n, L, D] and their places in w_plus, the loss and figures for the log, scalars
                that are means over them.
        Returns: the figures, for the whole batch.
        """
        opt.zero_grad()
        places, n = self.places(len(w_plus)), len(w_plus) * ranks.world()
        cut = w_plus if self.parts == 1 else w_plus.detach().requires_grad_(w_plus.requires_grad)
        out: dict[str, Tensor] = {}
        for at in places:
            codes = cut[at]
            loss, figures = losses(codes, at)
            (loss * (len(codes) / n)).backward()
            for name, value in figures.items():
                out[name] = out.get(name, 0) + value.detach() * (len(codes) / n)
        if cut is not w_plus and cut.grad is not None:  # the mapping ran once, so it is left once
            w_plus.backward(cut.grad)
        out = ranks.share(opt, out)
        opt.step()
        return out

    def step_path(self, opt: Optimizer, i: int) -> dict[str, Tensor]:
        """The path length step, every path_every steps, on half a batch; nothing otherwise."""
        if not self.config.path_weight or i % self.config.path_every:
            return {}
        return self.learn_path(*self.draw_path(), opt)

    def draw_path(self) -> tuple[list[Tensor], str | list[Tensor], Tensor]:
        """What a path length step takes: as draw_z and draw_noise, and y [m, 3, R, R] from N(0, 1)."""
        n, size = max(1, self.config.batch // 2), self.g.config.resolution
        at = ranks.part(n)
        drawn, noise = self.draw_z(n, at), self.draw_noise(n, at)
        y = torch.empty(n, 3, size, size, device=drawn[0].device).to(memory_format=torch.channels_last)
        return drawn, noise, torch.randn_like(y)[at]  # in the order in which the pictures lie in memory

    def learn_path(
        self, drawn: Sequence[Tensor], noise: str | Sequence[Tensor], y: Tensor, opt: Optimizer
    ) -> dict[str, Tensor]:
        """A path length step on what draw_path gave."""
        n, mean, decay = max(1, self.config.batch // 2), self.path_mean, 0.01
        with _in_float32(self.g.synthesis):
            w_plus = self.codes(drawn)
            if self.parts * ranks.world() > 1:  # the mean length counts in every part, and is known after all
                lengths = ranks.total(self._path(w_plus, noise, y, n, mean, 1.0, None)[1])
                mean, decay = torch.lerp(mean, lengths, decay), 0.0
            opt.zero_grad()
            penalty, new_mean = self._path(w_plus, noise, y, n, mean, decay, opt)
        mean = new_mean if decay else mean
        self.path_mean.copy_(mean)
        return {"g/path": penalty, "g/path_mean": self.path_mean.clone()}

    def _path(
        self,
        w_plus: Tensor,
        noise: str | Sequence[Tensor],
        y: Tensor,
        n: int,
        mean: Tensor,
        decay: float,
        opt: Optimizer | None,
    ) -> tuple[Tensor, Tensor]:
        """path_length_penalty of codes w_plus, of n in all, part by part; with opt also the step on it."""
        cut = w_plus.detach().requires_grad_()
        penalty, new_mean = mean.new_zeros([]), mean.new_zeros([])
        for at in self.places(len(w_plus)):
            codes, share = cut[at], len(y[at]) / n
            pictures = self.g.synthesis(codes, cut_noise(noise, at))[-1]
            part, its_mean = path_length_penalty(pictures, codes, mean, decay, y[at])
            if opt:
                (part * (share * self.config.path_weight * self.config.path_every)).backward()
            penalty, new_mean = penalty + part.detach() * share, new_mean + its_mean * share
        if opt:
            if w_plus.requires_grad and cut.grad is not None:
                w_plus.backward(cut.grad)
            penalty = ranks.share(opt, {"g/path": penalty})["g/path"]
            opt.step()
        return penalty, new_mean

    def average(self, i: int) -> None:
        """Move g_ema towards g after step i."""
        config = self.config
        update_ema(
            self.g_ema,
            self.g,
            ema_beta(config.batch, config.ema_images, (i + 1) * config.batch, config.ema_ramp),
        )


def cut_noise(noise: str | Sequence[Tensor], at: Places) -> str | list[Tensor]:
    """The noise of some places of what draw_noise gave."""
    return noise if isinstance(noise, str) else [layer[at] for layer in noise]


@contextmanager
def _in_float32(network: Synthesis | Discriminator) -> Iterator[None]:
    """A penalty of second order is computed in float32."""
    dtype, network.compute_dtype = network.compute_dtype, torch.float32
    try:
        yield
    finally:
        network.compute_dtype = dtype


@torch.no_grad()
def mean_w(g: Generator, n: int = 10_000) -> Tensor:
    """[D], the mean of w over n codes of a fixed seed."""
    z = torch.randn(n, g.config.z_dim, generator=torch.Generator().manual_seed(0))
    return g.mapping(z.to(g.w_mean.device)).mean(0)
