"""A mapper of StyleCLIP's, converted and applied as typed."""

import numpy as np
import torch

from stylegan_toon.stylegan2.latent_files import load_latents
from tests.checkpoint.mapper_file import answer, mapper_state, whole


def test_it_is_applied_by_edit_to_its_generator_and_refused_elsewhere(tmp_path, here):
    state = mapper_state()
    torch.save(whole(state), tmp_path / "sad.pt")
    done = here("convert", "sad.pt", "sad.safetensors")
    assert done.returncode == 0 and done.stdout.split() == ["sad.safetensors", "sad.mapper.safetensors"]
    assert "not used" not in done.stderr
    args = (
        "edit",
        "sad.mapper.safetensors",
        "--source",
        "sad.safetensors",
        "--seeds",
        "4",
        "--device",
        "cpu",
    )
    done = here(*args, "--strength", "2", "--groups", "medium", "--save", "after")
    assert done.returncode == 0, done.stderr
    after, _ = load_latents(tmp_path / "after.latent.safetensors")
    done = here(*args, "--strength", "0", "--save", "before")
    before, _ = load_latents(tmp_path / "before.latent.safetensors")
    wanted = 2 * answer(state, before.numpy())
    wanted[:, [0, 1, 2, 3, 8, 9]] = 0
    assert np.abs((after - before).numpy() - wanted).max() < 1e-4 * np.abs(wanted).max()
    done = here("edit", "sad.mapper.safetensors", "--source", "faces-64", "--seeds", "4", "--device", "cpu")
    assert done.returncode == 4 and "was made with a generator of weights" in done.stderr
    assert done.stderr.count("\n") == 1
