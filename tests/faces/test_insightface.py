"""insightface's models are found by path, never fetched, and read as insightface reads them."""

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from stylegan_toon.errors import MissingPartError, ModelError, UsageError
from stylegan_toon.faces import detect, insightface
from stylegan_toon.faces.detectors import DETECTORS, choose_detector
from tests.faces.insight_files import BOX, POINTS, detector

ROOT = Path(__file__).parents[2]
installed = pytest.mark.skipif(
    not importlib.util.find_spec("insightface"), reason="the extra `face` is not installed"
)


def touch(folder: Path, *names: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        (folder / name).touch()
    return folder


@pytest.mark.parametrize(
    "place", ["", "buffalo_l", "buffalo_l/buffalo_l", "models/buffalo_l", "models/buffalo_l/buffalo_l"]
)
def test_a_pack_is_found_also_one_level_too_deep(place, tmp_path):
    folder = touch(tmp_path / place, "det_10g.onnx", "w600k_r50.onnx", "2d106det.onnx", "1k3d68.onnx")
    assert insightface.model_file("detection", tmp_path) == folder / "det_10g.onnx"
    assert insightface.model_file("recognition", tmp_path) == folder / "w600k_r50.onnx"


def test_landmark_and_age_networks_are_not_taken_for_the_wanted_ones(tmp_path):
    touch(
        tmp_path,
        "2d106det.onnx",
        "1k3d68.onnx",
        "genderage.onnx",
        "yunet_n_dynamic.onnx",
        "det_10g.onnx.part",
    )
    (tmp_path / "det_folder.onnx").mkdir()
    assert insightface.model_file("detection", tmp_path) is None
    assert insightface.model_file("recognition", tmp_path) is None


def test_of_several_packs_the_better_is_taken(tmp_path):
    for pack, names in {
        "antelopev2": ("scrfd_10g_bnkps.onnx", "glintr100.onnx"),
        "buffalo_s": ("det_500m.onnx", "w600k_mbf.onnx"),
        "a_new_one": ("det_1g.onnx",),
    }.items():
        touch(tmp_path / "models" / pack, *names)
    assert insightface.model_file("detection", tmp_path).name == "scrfd_10g_bnkps.onnx"
    assert insightface.model_file("recognition", tmp_path).name == "glintr100.onnx"
    touch(tmp_path / "models" / "buffalo_l", "det_10g.onnx")
    assert insightface.model_file("detection", tmp_path).name == "det_10g.onnx"
    assert insightface.model_file("recognition", tmp_path).name == "glintr100.onnx"


def test_where_it_looks_is_chosen_by_argument_then_variable_then_the_usual_places(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("STYLEGAN_TOON_MODELS", str(tmp_path / "fetched"))
    assert insightface.model_file("detection") is None
    usual = touch(tmp_path / ".insightface/models/buffalo_l", "det_10g.onnx")
    assert insightface.model_file("detection") == usual / "det_10g.onnx"
    touch(tmp_path / "fetched", "det_10g.onnx")
    assert insightface.model_file("detection").parent == tmp_path / "fetched"
    touch(tmp_path / "named", "det_10g.onnx")
    monkeypatch.setenv("STYLEGAN_TOON_INSIGHTFACE", str(tmp_path / "named"))
    assert insightface.model_file("detection").parent == tmp_path / "named"
    assert insightface.model_file("detection", tmp_path / "nowhere") is None


def test_without_models_the_line_says_what_to_do(tmp_path):
    for task, name in (("detection", "insightface-detector"), ("recognition", "insightface-arcface")):
        with pytest.raises(MissingPartError) as caught:
            insightface.load(task, tmp_path / "nowhere")
        line = str(caught.value)
        assert f"models get {name}" in line and "nowhere" in line and len(line) <= 190


def test_without_the_package_the_line_says_what_to_install(tmp_path, monkeypatch):
    touch(tmp_path, "det_10g.onnx")
    monkeypatch.setitem(sys.modules, "insightface", None)  # as Python marks what cannot be imported
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(MissingPartError, match=r"pip install 'stylegan-toon\[face\]'"):
        insightface.load("detection", tmp_path)


def test_a_package_that_cannot_be_imported_is_a_missing_part(tmp_path, monkeypatch):
    touch(tmp_path / "models", "det_10g.onnx")
    broken = touch(tmp_path / "broken/insightface")
    (broken / "__init__.py").write_text("raise OSError('libGL.so.1: cannot open shared object file')")
    monkeypatch.syspath_prepend(str(tmp_path / "broken"))
    for name in [name for name in sys.modules if name.split(".")[0] == "insightface"]:
        monkeypatch.delitem(sys.modules, name)
    with pytest.raises(MissingPartError, match=r"libGL\.so\.1.*pip install"):
        insightface.load("detection", tmp_path / "models")


def test_the_detector_is_one_of_two():
    assert choose_detector() is detect.find_faces
    with pytest.raises(UsageError, match="yunet, insightface"):
        choose_detector("haar")
    from stylegan_toon.cli import detector as options

    assert options.DETECTORS == DETECTORS


GUARDED = """
import sys
def hook(event, args):
    if event == "socket.bind" and args[1][0] == "::1":
        return  # urllib3 tries whether there is IPv6
    if event.startswith("socket.") and event != "socket.__new__" or event == "urllib.Request":
        print(event, args)
        sys.stdout.flush()
sys.addaudithook(hook)
from stylegan_toon.errors import ToonError
from stylegan_toon.faces.insightface import load
for task in ("detection", "recognition"):
    for root in (None, "nowhere", "buffalo_l", "empty", "broken"):
        try:
            load(task, root)
        except ToonError as error:
            print(error.exit_code)
"""


def test_nothing_is_asked_of_the_network_whatever_is_there(tmp_path):
    touch(tmp_path / "empty/models/buffalo_l")
    for name in ("det_10g.onnx", "w600k_r50.onnx"):
        (touch(tmp_path / "broken") / name).write_bytes(b"no model")
    env = os.environ | {"HOME": str(tmp_path), "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", GUARDED]
    done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, timeout=120)
    broken = "4" if importlib.util.find_spec("insightface") else "5"
    assert done.stdout.splitlines() == ["5", "5", "5", "5", broken] * 2, done.stderr
    assert not (tmp_path / ".insightface").exists()


@pytest.fixture(scope="module")
def net(tmp_path_factory):
    pytest.importorskip("insightface")
    folder = tmp_path_factory.mktemp("insightface")
    detector(folder / "models/buffalo_l/buffalo_l/det_10g.onnx")
    said: list[str] = []
    net = insightface.load("detection", folder, report=said.append)
    assert said[0].endswith("buffalo_l/det_10g.onnx on CPUExecutionProvider")
    return net


def scene(size: tuple[int, int], *corners: tuple[int, int], unit: int) -> Image.Image:
    """Black, with a red square and a green one to its right at each corner."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    for x, y in corners:
        pixels[y : y + unit, x : x + unit, 0] = 255
        pixels[y : y + unit, x + unit : x + 2 * unit, 1] = 255
    return Image.fromarray(pixels)


def expected(x: float, y: float, unit: float) -> tuple[np.ndarray, np.ndarray]:
    box = np.array([x - BOX[0] * unit, y - BOX[1] * unit, x + BOX[2] * unit, y + BOX[3] * unit])
    return box, np.array([x, y]) + unit * np.array(POINTS)


def test_a_face_lies_where_the_network_says(net):
    # 640 px across shows a photo of 640 as it is: a cell is 8 px.
    (face,) = insightface.find_faces(net, scene((640, 480), (80, 160), unit=8))
    box, points = expected(80, 160, 8)
    np.testing.assert_allclose(face.box, box, atol=1e-3)
    np.testing.assert_allclose(face.points, points, atol=1e-3)
    # (1 + 0.5 + 0.5) + (1 + 1) - 3 = 1 for saturated colours, less 0.4 % as 127.5 / 128 is the unit
    wanted = 1 / (1 + np.exp(-(4 * 127.5 / 128 - 3)))
    assert face.score == pytest.approx(wanted, abs=1e-3)


def test_faces_come_largest_first_once_each_and_above_the_score(net):
    photo = scene((1280, 960), (160, 320), unit=16)
    pixels = np.asarray(photo).copy()
    pixels[800:808, 800:808, 0] = pixels[800:808, 808:816, 1] = 255  # a face for the run at 1280 alone
    faces = insightface.find_faces(net, Image.fromarray(pixels))
    assert [round(float(np.ptp(face.box[::2]))) for face in faces][:1] == [(3 * 16)]
    assert any(abs(face.box[0] - 792) < 1 for face in faces)
    assert len(faces) == len({tuple(face.box.round()) for face in faces})
    assert insightface.find_faces(net, photo, min_score=0.99) == []


@pytest.mark.parametrize("turns", [1, 2, 3])
def test_a_turned_photo_gives_the_turned_points(turns, net):
    upright = scene((640, 480), (80, 160), unit=8)
    (face,) = insightface.find_faces(net, upright)
    turned = Image.fromarray(np.rot90(np.asarray(upright), turns).copy())
    (again,) = insightface.find_faces(net, turned)
    x, y = face.points[:, 0], face.points[:, 1]
    wanted = {1: (y, 639 - x), 2: (639 - x, 479 - y), 3: (479 - y, x)}[turns]
    np.testing.assert_allclose(again.points, np.stack(wanted, 1), atol=1e-3)
    assert (again.box[:2] < again.box[2:]).all()


@pytest.mark.parametrize("size", [(1, 1), (4000, 2), (2, 4000), (33, 7), (3000, 2000)])
def test_photos_of_any_size_without_a_face_give_none(size, net):
    assert insightface.find_faces(net, Image.new("RGB", size)) == []
    assert insightface.find_faces(net, Image.new("L", size)) == []


def test_the_library_gives_the_same(net):
    """One run of insightface's own detector, as its users call it."""
    photo = scene((640, 640), (80, 160), (400, 400), unit=8)
    net.input_size = (640, 640)
    boxes, points = net.detect(np.asarray(photo)[..., ::-1].copy(), input_size=(640, 640))
    faces = insightface.find_faces(net, photo)
    order = [int(np.abs(boxes[:, 0] - face.box[0]).argmin()) for face in faces]
    assert sorted(order) == list(range(len(boxes))) == [0, 1]
    np.testing.assert_allclose([face.points for face in faces], points[order], atol=1e-3)


@installed
def test_a_network_of_one_fixed_size_is_used_at_that_size(tmp_path):
    detector(tmp_path / "det_10g.onnx", fixed=640)
    net = insightface.load("detection", tmp_path)
    (face,) = insightface.find_faces(net, scene((1280, 960), (160, 320), unit=16))
    np.testing.assert_allclose(face.box, expected(160, 320, 16)[0], atol=1e-2)


@installed
def test_other_networks_under_the_name_are_told_apart(tmp_path):
    for name, words in (("det_nothing.onnx", "cannot be loaded"), ("det_10g.onnx", "no detection model")):
        folder = tmp_path / name
        folder.mkdir()
        if name == "det_10g.onnx":
            detector(folder / name, points=False)  # six outputs: boxes without points
        else:
            (folder / name).write_bytes(b"\x00" * 99)
        with pytest.raises(ModelError, match=words):
            insightface.load("detection", folder)
    yunet = (ROOT / "pretrained/yunet_n_dynamic.onnx").read_bytes()
    (tmp_path / "scrfd_yunet.onnx").write_bytes(yunet)  # twelve outputs
    with pytest.raises(ModelError, match="no detection model"):
        insightface.load("detection", tmp_path)


@installed
def test_loading_and_looking_print_nothing(tmp_path, capfd):
    detector(tmp_path / "det_10g.onnx")
    net = insightface.load("detection", tmp_path)
    insightface.find_faces(net, scene((1280, 960), unit=8))
    assert capfd.readouterr() == ("", "")
