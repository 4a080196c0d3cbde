"""Presets before they are checked: paths, single changes, what is dropped, old names."""

import subprocess
import sys

import pytest

from cgankd import console, preset
from cgankd.errors import UserError

OWN = """extends = "digits"
[data]
source = "folder"
path = "flowers"
test = "../more"
num_train = 10
num_validation = 4
"""


def test_paths_in_a_file_are_relative_to_it_and_in_changes_to_where_one_stands(
    tmp_path, monkeypatch
):
    file = tmp_path / "presets" / "mine.toml"
    file.parent.mkdir()
    file.write_text(OWN)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    data = preset.load(file).data
    assert data.path == str(tmp_path / "presets" / "flowers")
    assert data.test == str(tmp_path / "presets" / ".." / "more")
    changed = preset.load(file, ["data.path=weeds"]).data
    assert changed.path == str(tmp_path / "elsewhere" / "weeds")
    inherits = tmp_path / "yours.toml"
    inherits.write_text('extends = "presets/mine.toml"')
    assert preset.load(inherits).data.path == data.path


@pytest.mark.parametrize("text", ["2024-05-01", "123", "1e3", "true", "[a]", "07:32:00"])
def test_a_value_is_text_where_that_is_what_its_key_holds(tmp_path, monkeypatch, text):
    monkeypatch.chdir(tmp_path)
    changes = ["data.source=folder", f"data.path={text}"]
    assert preset.load("digits", changes).data.path == str(tmp_path / text)
    assert preset.load("digits", [f'data.path="{text}"', changes[0]]).data.path.endswith(text)


def test_other_values_are_toml():
    changed = preset.load("digits", ["gan.steps=7", "distill.seeds=[4, 5]", "distill.rho=0.25"])
    assert (changed.gan.steps, changed.distill.seeds, changed.distill.rho) == (7, [4, 5], 0.25)


def test_what_is_inherited_is_dropped_by_the_word_none(tmp_path):
    assert preset.load("digits-angle").evaluate.radius
    assert preset.load("digits-angle", ["evaluate=none"]).evaluate == preset.Evaluate()
    file = tmp_path / "mine.toml"
    file.write_text(
        'extends = "digits-angle"\nevaluate = "none"\n'
        '[data]\nsource = "digits"\nnum_train = 200\n'
        '[gan]\nnetwork = "biggan"\nembedding = "none"\nvicinity = "none"\nauxiliary = 0\n'
        '[dre.features]\nnetwork = "resnet8"\n[generate]\nlabels = "none"\n'
        '[distill]\nrelabel = "hard"\n'
    )
    loaded = preset.load(file)
    assert (loaded.gan.embedding, loaded.generate.labels) == (None, None)
    assert loaded.evaluate == preset.Evaluate()


def test_none_stays_a_value_where_it_is_one():
    assert preset.load("digits", ["distill.rho=none"]).distill.rho == "none"


def test_a_table_that_must_not_be_there_says_how_it_is_dropped():
    with pytest.raises(UserError, match=r"gan\.embedding must be absent") as caught:
        preset.load("digits-angle", ["data.source=digits"])
    assert 'gan.embedding = "none"' in caught.value.hint


def test_a_file_may_begin_with_a_byte_order_mark_and_be_named_without_its_ending(
    tmp_path, monkeypatch
):
    (tmp_path / "mine.toml").write_bytes(b'\xef\xbb\xbfextends = "digits"\n[gan]\nsteps = 7\n')
    monkeypatch.chdir(tmp_path)
    for name in ("mine.toml", "./mine", "./mine.toml"):
        assert preset.load(name).gan.steps == 7
    assert preset.text("./mine").startswith("extends")


def test_a_preset_can_come_through_a_pipe(tmp_path):
    program = "from cgankd import preset; print(preset.load('/dev/stdin').gan.steps)"
    child = subprocess.run(
        [sys.executable, "-c", program],
        input='extends = "digits"\nname = "piped"\n[gan]\nsteps = 9\n',
        capture_output=True,
        text=True,
        check=True,
    )
    assert child.stdout.strip() == "9"


def test_presets_that_extend_one_another_for_ever_are_refused_before_the_stack_ends(tmp_path):
    for number in range(3000):
        (tmp_path / f"p{number}.toml").write_text(f'extends = "p{number + 1}.toml"')
    with pytest.raises(UserError, match="more than 20 presets in a row"):
        preset.load(tmp_path / "p0.toml")


def test_old_names_of_keys_are_accepted_with_a_hint(tmp_path, monkeypatch):
    said: list[str] = []
    monkeypatch.setattr(console, "warn", said.append)
    file = tmp_path / "mine.toml"
    file.write_text('extends = "digits"\n[gan]\ncritic_steps = 3\n')
    changed = preset.load(file, ["gan.critic_learning_rate=1e-3"]).gan
    assert (changed.discriminator_steps, changed.discriminator_learning_rate) == (3, 1e-3)
    assert len(said) == 2
    assert all("is now called gan.discriminator_" in text for text in said)
    file.write_text('extends = "digits"\n[gan]\ncritic_steps = 3\ndiscriminator_steps = 4\n')
    with pytest.raises(UserError, match=r"critic_steps and gan.discriminator_steps are one key"):
        preset.load(file)


def test_a_copy_says_what_it_is_a_copy_of_and_guides_to_data_of_ones_own(tmp_path):
    for name in ("digits", "digits-angle"):
        file = tmp_path / f"my-{name}.toml"
        preset.copy(name, file)
        text = file.read_text()
        assert text.startswith(f"# A copy of {name} to change")
        assert "of your own" in text[: text.index("[gan]")]
        assert preset.load(file).name == f"my-{name}"
        assert preset.load(file).gan == preset.load(name).gan
