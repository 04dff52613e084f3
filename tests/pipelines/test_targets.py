"""What --target means, before torch is loaded, and which options fit how many pictures."""

import subprocess
import sys
from pathlib import Path

import click
import pytest

from stylegan_toon.cli import load
from stylegan_toon.errors import InputError, ModelError
from stylegan_toon.pipelines.targets import KEPT, PAPER, RECIPES, SHIPPED, own_shapes, recipe, resolve

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def empty_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_a_path_comes_before_data_and_data_before_what_ships():
    shipped = resolve("ink")
    assert (shipped.name, shipped.own) == ("ink", False) and shipped.path.is_file()
    Path("data").mkdir()
    Path("data/ink.zip").touch()
    assert resolve("ink").path == Path("data/ink.zip")
    Path("data/ink").mkdir()
    assert resolve("ink").path == Path("data/ink")
    Path("ink").mkdir()
    assert resolve("ink").path == Path("ink") and resolve("ink").own


def test_the_papers_pictures_are_taken_as_they_are_and_a_persons_are_looked_through():
    for name in ("webtoon", "mine"):
        Path("data", name).mkdir(parents=True)
    assert not resolve("webtoon").own and not resolve("webtoon").note
    assert resolve("mine").own and resolve("mine").name == "mine"


@pytest.mark.parametrize("name", PAPER)
def test_where_the_papers_pictures_are_absent_another_set_stands_in_and_says_so(name):
    other = resolve(name)
    assert other.name == PAPER[name][1] in SHIPPED and other.path.stem == other.name
    assert f"data/{name}/" in other.note and other.name in other.note and len(other.note) <= 200
    with pytest.raises(ModelError, match=f"data/{name}/") as caught:
        resolve(name, strict=True)
    assert len(str(caught.value)) <= 192


@pytest.mark.parametrize("text", ["toonheat", "", " ", "no/such", "no.zip", "../x", "x\0y", "y" * 300, "..."])
def test_what_is_neither_is_answered_in_one_line_with_those_that_are_known(text):
    with pytest.raises(InputError) as caught:
        resolve(text)
    line = str(caught.value)
    assert len(line) <= 192 and "\n" not in line
    if len(text) < 99 and "\0" not in text:
        assert all(name in line for name in (*PAPER, *SHIPPED))


@pytest.mark.parametrize(
    "path, name",
    [("my drawings/", "my drawings"), ("v1.5/", "v1.5"), ("a.zip", "a"), ("b.tar.gz", "b"),
     ("c.v2.zip", "c.v2"), (".hidden/", "hidden"), ("deep/er/", "er")],
)  # fmt: skip
def test_a_run_is_called_like_its_folder_or_archive(path, name):
    if path.endswith("/"):
        Path(path).mkdir(parents=True)
    else:
        Path(path).touch()
    assert resolve(path).name == name


def test_this_folder_is_called_by_its_own_name(tmp_path):
    assert resolve(".").name == tmp_path.name and resolve(".").own


def test_fewer_pictures_end_sooner_are_varied_more_and_two_resolutions_are_left_to_train():
    kinds = [recipe(count)[0] for count in (1, 29, 30, 299, 300, 5000)]
    assert kinds == ["few", "few", "some", "some", "many", "many"]
    few, some, many = (recipe(count)[1] for count in (10, 100, 1000))
    assert few["freeze_g"] == some["freeze_g"] == 2 and few["steps"] < some["steps"] < 500
    assert few["ada_p"] > some["ada_p"] and some["look_every"] < many["look_every"]
    assert {few[name] == some[name] == many[name] for name in ("blend", *KEPT)} == {True}
    assert [recipe(10, n)[1]["freeze_g"] for n in (2, 3, 4, 5, 6)] == [0, 1, 2, 2, 2]
    assert [recipe(100, n)[1]["blend"] for n in (2, 3, 4, 5, 6, 9)] == [1, 1, 2, 2, 3, 3]


def test_every_setting_of_a_recipe_is_an_option_of_finetune_and_differs_from_its_default():
    options = {param.name: param for param in load("finetune").params if isinstance(param, click.Option)}
    own = [own_shapes(count, finish, "faces") for count in (20, 400) for finish in ("paint", "cel")]
    for settings in (*RECIPES.values(), *own):
        for name, value in settings.items():
            assert value != options[name].default
            assert options[name].type.convert(value, options[name], None) == value


def test_few_drawings_in_tones_or_lines_begin_as_a_style_that_has_such_shapes():
    few, many = own_shapes(20, "cel", "faces"), own_shapes(400, "ink", "faces")
    assert (few["start"], few["finish"], many["start"], many["finish"]) == ("toon", "cel", "toon", "ink")
    assert few["adversarial"] < 1 and few["steps"] < many["steps"] and "adversarial" not in many
    assert "start" not in own_shapes(20, "cel", "mine.safetensors")  # of which toon is no child
    painted = own_shapes(20, "paint", "faces")
    assert not {"start", "finish", "adversarial"} & set(painted) and painted["freeze_g"] == 0


def test_the_help_names_every_target():
    text = next(param.help for param in load("finetune").params if param.name == "target")
    assert all(name in text for name in (*PAPER, *SHIPPED))


def test_resolving_imports_no_torch():
    code = "import sys; from stylegan_toon.pipelines.targets import resolve; resolve('webtoon')\n"
    code += "sys.exit('torch' in sys.modules or 'PIL' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0
