"""Pickles as NVIDIA's training writes them: modules that carry their class's source, from random networks.

The networks are those of tests.stylegan2.reference, in rosinality's names, renamed here by hand. The pickle
is made by Python's own pickler and torch's own storages; only the names that it must mention are put into
sys.modules while it is written.
"""

import contextlib
import pickle
import sys
import types

import numpy as np
import torch

FIR = torch.tensor(np.outer([1, 3, 3, 1], [1, 3, 3, 1]) / 64, dtype=torch.float32)
SOURCE = "import os\nos.system('touch {marker}')\n# the text of training/networks.py\n"


def _reconstruct_persistent_obj(meta):
    raise AssertionError("what a file names was called")


class EasyDict(dict):
    def __getattr__(self, name):
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


class Net(torch.nn.Module):
    """A module whose pickle is NVIDIA's record; settings become attributes."""

    def __init__(self, class_name, parameters=(), buffers=(), modules=(), **settings):
        super().__init__()
        self._init_args, self._init_kwargs = (), EasyDict(settings)
        for name, value in settings.items():
            setattr(self, name, value)
        for name, value in dict(parameters).items():
            setattr(self, name, torch.nn.Parameter(value, requires_grad=False))
        for name, value in dict(buffers).items():
            self.register_buffer(name, value)
        for name, value in dict(modules).items():
            setattr(self, name, value)
        self._orig_class_name = class_name

    def __reduce__(self):
        state = {key: value for key, value in self.__dict__.items() if key != "_orig_class_name"}
        meta = {"type": "class", "version": 6, "module_src": Net.source, "class_name": self._orig_class_name,
                "state": state}  # fmt: skip
        return _reconstruct_persistent_obj, (meta,), None


@contextlib.contextmanager
def their_names():
    """torch_utils.persistence and dnnlib.util can be imported, as the pickler wants."""
    modules = {
        name: types.ModuleType(name)
        for name in ("torch_utils", "torch_utils.persistence", "dnnlib", "dnnlib.util")
    }
    modules["torch_utils.persistence"]._reconstruct_persistent_obj = _reconstruct_persistent_obj
    modules["dnnlib.util"].EasyDict = EasyDict
    homes = _reconstruct_persistent_obj.__module__, EasyDict.__module__
    _reconstruct_persistent_obj.__module__, EasyDict.__module__ = "torch_utils.persistence", "dnnlib.util"
    sys.modules.update(modules)
    try:
        yield
    finally:
        _reconstruct_persistent_obj.__module__, EasyDict.__module__ = homes
        for name in modules:
            del sys.modules[name]


def linear(weight, bias, lr_mul=1.0, activation="linear"):
    return Net("FullyConnectedLayer", {"weight": weight, "bias": bias}, activation=activation,
               weight_gain=np.float64(lr_mul / np.sqrt(weight.shape[1])), bias_gain=lr_mul)  # fmt: skip


def generator(s, clamp=256):
    """A Generator from a state dict in rosinality's names."""

    def affine(room):
        return linear(s[f"{room}.conv.modulation.weight"], s[f"{room}.conv.modulation.bias"])

    def layer(room, k, up):
        weight = s[f"{room}.conv.weight"][0].contiguous(memory_format=torch.channels_last)
        parameters = {
            "weight": weight,
            "noise_strength": s[f"{room}.noise.weight"][0],
            "bias": s[f"{room}.activate.bias"],
        }
        noise = s[f"noises.noise_{k}"][0, 0]
        buffers = {"resample_filter": FIR, "noise_const": noise}
        return Net("SynthesisLayer", parameters, buffers, {"affine": affine(room)}, resolution=len(noise),
                   up=up, use_noise=True, activation="lrelu", conv_clamp=clamp,
                   act_gain=np.sqrt(2))  # fmt: skip

    def torgb(room):
        parameters = {"weight": s[f"{room}.conv.weight"][0], "bias": s[f"{room}.bias"].flatten()}
        return Net("ToRGBLayer", parameters, (), {"affine": affine(room)}, conv_clamp=clamp)

    blocks = {"b4": Net("SynthesisBlock", {"const": s["input.input"][0]}, {"resample_filter": FIR},
                        {"conv1": layer("conv1", 0, 1), "torgb": torgb("to_rgb1")},
                        architecture="skip", img_channels=3)}  # fmt: skip
    j = 0
    while f"to_rgbs.{j}.bias" in s:
        modules = {"conv0": layer(f"convs.{2 * j}", 2 * j + 1, 2),
                   "conv1": layer(f"convs.{2 * j + 1}", 2 * j + 2, 1),
                   "torgb": torgb(f"to_rgbs.{j}")}  # fmt: skip
        blocks[f"b{8 * 2**j}"] = Net("SynthesisBlock", (), {"resample_filter": FIR}, modules,
                                     architecture="skip", img_channels=3)  # fmt: skip
        j += 1
    depth = sum(key.startswith("style.") for key in s) // 2
    layers = {
        f"fc{i}": linear(s[f"style.{i + 1}.weight"], s[f"style.{i + 1}.bias"], 0.01, "lrelu")
        for i in range(depth)
    }
    w_dim, z_dim = s["style.1.weight"].shape
    w_avg = torch.linspace(-1, 1, w_dim)
    mapping = Net("MappingNetwork", (), {"w_avg": w_avg}, layers, c_dim=0, num_layers=depth, w_avg_beta=0.995)
    synthesis = Net("SynthesisNetwork", (), (), blocks, img_channels=3, w_dim=w_dim)
    return Net("Generator", (), (), {"synthesis": synthesis, "mapping": mapping}, c_dim=0, z_dim=z_dim,
               w_dim=w_dim, img_resolution=4 * 2**j, img_channels=3)  # fmt: skip


def discriminator(s, group=4, frozen=0):
    """A Discriminator from a state dict in rosinality's names; layers below frozen hold buffers."""
    count = 0

    def conv(weight, bias=None, **settings):
        nonlocal count
        tensors = {"weight": weight} if bias is None else {"weight": weight, "bias": bias}
        count += 1
        given = (
            ((), {**tensors, "resample_filter": FIR})
            if count <= frozen
            else (tensors, {"resample_filter": FIR})
        )
        net = Net("Conv2dLayer", *given, activation="lrelu", conv_clamp=None, **settings)
        if bias is None:
            net.bias = None
        return net

    blocks = sum(key.endswith("skip.1.weight") for key in s)
    modules = {}
    for k in range(1, blocks + 1):
        t = f"convs.{k}"
        parts = {"conv0": conv(s[f"{t}.conv1.0.weight"], s[f"{t}.conv1.1.bias"]),
                 "conv1": conv(s[f"{t}.conv2.1.weight"], s[f"{t}.conv2.2.bias"], down=2),
                 "skip": conv(s[f"{t}.skip.1.weight"], down=2)}  # fmt: skip
        if k == 1:
            parts["fromrgb"] = conv(s["convs.0.0.weight"], s["convs.0.1.bias"])
        block = Net(
            "DiscriminatorBlock", (), {"resample_filter": FIR}, parts, architecture="resnet", img_channels=3
        )
        modules[f"b{4 * 2 ** (blocks - k + 1)}"] = block
    head = {"mbstd": Net("MinibatchStdLayer", group_size=group, num_channels=1),
            "conv": conv(s["final_conv.0.weight"], s["final_conv.1.bias"]),
            "fc": linear(s["final_linear.0.weight"], s["final_linear.0.bias"], activation="lrelu"),
            "out": linear(s["final_linear.1.weight"], s["final_linear.1.bias"])}  # fmt: skip
    modules["b4"] = Net(
        "DiscriminatorEpilogue", (), (), head, architecture="resnet", img_channels=3, cmap_dim=0
    )
    return Net("Discriminator", (), (), modules, c_dim=0, img_resolution=4 * 2**blocks, img_channels=3)


def dump(entries, marker="/nowhere/ran", protocol=4):
    """The bytes of a file; running the source text in it would touch marker."""
    pipe = Net("AugmentPipe", (), {"p": torch.tensor(0.3), "Hz_geom": torch.ones(12)}, xflip=1.0)
    whole = {
        "training_set_kwargs": EasyDict(path="faces.zip", use_labels=False),
        "augment_pipe": pipe,
        **entries,
    }
    Net.source = SOURCE.format(marker=marker)
    with their_names():
        return pickle.dumps(whole, protocol)
