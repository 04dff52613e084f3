"""What the study measures between pictures of faces: a portrait against itself, moved and shuffled."""

from pathlib import Path

import pytest
import torch

from stylegan_toon.images import load_image
from stylegan_toon.pipelines.study.run import Judge, points_of
from stylegan_toon.stylegan2.config import Config
from stylegan_toon.stylegan2.generator import Generator

FIXTURES = Path(__file__).parents[1] / "fixtures"


@pytest.fixture(scope="module")
def faces():
    picture = load_image(FIXTURES / "portrait_A000055_crop256.jpg").resize((128, 128))
    x = torch.frombuffer(bytearray(picture.tobytes()), dtype=torch.uint8).reshape(128, 128, 3)
    face = x.permute(2, 0, 1)[None].float() / 127.5 - 1
    return torch.cat([face, face.roll(8, 3), torch.zeros_like(face)])  # as it is, moved by 1/16, and no face


def test_points_are_found_in_shares_of_the_side_and_move_with_the_face(faces):
    here, moved, none = points_of(faces)
    assert none is None and here.shape == (5, 2)
    assert moved - here == pytest.approx(torch.tensor([1 / 16, 0.0]).expand(5, 2).numpy(), abs=0.02)


def test_identity_and_landmarks_are_taken_where_the_target_has_faces(faces):
    g = Generator(Config(32, (8, 8, 8, 8), 16, 16, 2))
    judge = Judge(g, torch.randn(3, 16), {}, 2, torch.device("cpu"), {})
    judge.pictures, judge.points = faces, list(points_of(faces))
    assert "identity" not in judge.structure(faces)  # no target yet
    judge.faces = 0.9
    same, shuffled = judge.structure(faces), judge.structure(faces, turn=1)
    assert same["landmark_pairs"] == 2 and same["landmarks"] == 0  # the third has no face
    assert shuffled["landmark_pairs"] == 1 and shuffled["landmarks"] > 0.05
    assert shuffled["identity"] < same["identity"] == pytest.approx(1, abs=1e-5)
