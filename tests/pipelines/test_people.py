"""Random faces spread as photos' codes are: --people, and what is shown where no faces are given."""

import contextlib
import io

import numpy as np
import pytest
import torch
from safetensors.numpy import load_file

from stylegan_toon.cli import cli
from stylegan_toon.cli.common import ENVIRONMENT, run
from stylegan_toon.paths import pretrained_file
from stylegan_toon.pipelines.codes import Family
from stylegan_toon.pipelines.models import find_edit


@pytest.fixture
def toon(models, tmp_path, monkeypatch):
    monkeypatch.setenv("STYLEGAN_TOON_HOME", str(models))

    def call(*args):
        out, err = io.StringIO(), io.StringIO()
        with contextlib.chdir(tmp_path), contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = run(cli, [*map(str, args), "--device", "cpu"], "stylegan-toon", ENVIRONMENT)
        return code, out.getvalue(), err.getvalue()

    return call


def numbers(seed, count):
    return torch.randn(count, generator=torch.Generator().manual_seed(seed)).double().numpy()


@pytest.mark.parametrize("psi", [None, 1.0, 0.0])
def test_people_lie_where_the_encoder_says_photos_lie(psi):
    family = Family("faces", raw=True)
    found = family.gather(["people:3,7-8"], psi)
    kept = load_file(pretrained_file("faces-128.encoder.safetensors"))
    mean, axes = (kept[name].astype(np.float64) for name in ("codes_mean", "codes_spread"))
    assert found.names == ["person0003", "person0007", "person0008"] and found.z is None
    for i, seed in enumerate((3, 7, 8)):
        z = (0.7 if psi is None else psi) * numbers(seed, len(axes))
        wanted = mean + np.einsum("k,kld->ld", z, axes)
        np.testing.assert_allclose(found.w_plus[i].double().numpy(), wanted, atol=1e-4 * np.abs(wanted).max())


def test_the_same_person_is_drawn_in_any_company():
    family = Family("faces", raw=True)
    assert torch.equal(family.gather(["people:5,9"]).w_plus[1], family.gather(["4", "people:9"]).w_plus[1])


def test_without_faces_an_edit_shows_people(toon, tmp_path):
    for given in ((), ("--people", "2-5")):
        code, out, err = toon(
            "edit", find_edit("sad"), "--raw", "--seed", 2, "--out", f"out{len(given)}", *given
        )
        assert code == 0 and err == "", err
        assert len(out.splitlines()) == 5 and "person0002" in out
    a, b = (sorted((tmp_path / name).iterdir()) for name in ("out0", "out2"))
    assert [x.read_bytes() for x in a] == [x.read_bytes() for x in b] and len(a) == 5


def test_without_an_encoder_seeds_stand_in_and_a_line_says_so(toon, models):
    code, _, err = toon("factorize", "--source", "plain", "--count", 1, "--raw")
    assert code == 0
    assert "plain has no encoder that knows people; seeds 0-3 in their stead" in err
    family = Family(str(models / "models" / "plain-32.generator.safetensors"), raw=True)
    people, seeds = family.gather(["people:1,4"]), family.gather(["1,4"])
    assert torch.equal(people.w_plus, seeds.w_plus) and people.names == seeds.names


@pytest.mark.parametrize("given", ["4-1", "x", "", "people:3"])
def test_a_list_that_is_none_is_one_line(toon, given):
    code, out, err = toon("factorize", "--people", given, "--count", 1)
    assert code == 2 and out == "" and len(err.splitlines()) == 1
    assert "0-7,9" in err or "no range upwards" in err
