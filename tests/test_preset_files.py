"""Preset files: how they are found, extended and changed, and what is no preset."""

import pytest
from refusals import refused

from cgankd.preset import Paper, load


def test_a_preset_that_extends_another_changes_only_what_it_says(write_preset):
    mine, base = load(write_preset("[gan]\nsteps = 7\n[paper]\nnote = 'none'\n")), load("digits")
    assert (mine.name, mine.gan.steps, mine.paper) == ("mine", 7, Paper(note="none"))
    assert mine.gan.model_copy(update={"steps": base.gan.steps}) == base.gan
    assert mine.distill == base.distill


def test_changes_of_a_call_are_toml_values_or_bare_words(write_preset):
    changes = [
        "gan.steps=7",
        "distill.rho=none",
        'data.protocol="clean"',
        " teacher.augment = [] ",
        "seed=3",
    ]
    loaded = load("digits", changes)
    assert (loaded.gan.steps, loaded.distill.rho, loaded.teacher.augment, loaded.seed) == (
        7,
        "none",
        [],
        3,
    )


def test_names_of_the_last_release_are_taken_with_a_warning(write_preset, capsys):
    today = "[gan]\ndiscriminator_steps = 3\ndiscriminator_learning_rate = 5e-4\n"
    named = load(write_preset(today))
    assert named.gan.discriminator_steps == 3
    assert capsys.readouterr().err == ""
    file = write_preset(today.replace("discriminator", "critic"))
    assert load(file) == named
    in_a_file = capsys.readouterr().err
    assert load("digits", ["gan.critic_steps=3", "gan.critic_learning_rate=5e-4"]).gan == named.gan
    in_a_call = capsys.readouterr().err
    for where, said in ((str(file), in_a_file), ("--set gan.critic_", in_a_call)):
        assert said.count(where) == 2
        for key in ("steps", "learning_rate"):
            words = f"gan.critic_{key} is now called gan.discriminator_{key}; the old name will go"
            assert words in said


def test_published_numbers_are_inherited_whole_or_not_at_all(write_preset):
    extends = 'extends = "cifar10-c50k"\n'
    inherited = load(write_preset("[distill]\nepochs = 1\n", extends)).paper
    assert inherited == load("cifar10-c50k").paper
    assert load(write_preset("[paper]\nnote = 'mine'\n", extends)).paper == Paper(note="mine")
    assert load("cifar10-c10k").paper.nfake is None


@pytest.mark.parametrize("name", ["digts", "", ".", "DIGITS", "a" * 300, "x\ny"])
def test_an_unknown_preset_is_answered_with_the_known_ones(name):
    refused(name, "unknown preset .*digits")


@pytest.mark.parametrize("name", ["absent.toml", "../absent", "/digits", "digits/", "\0.toml"])
def test_a_preset_file_that_is_not_there_is_named(name):
    refused(name, "not found")


def test_a_folder_is_no_preset_file(tmp_path):
    (tmp_path / "x.toml").mkdir()
    refused(tmp_path / "x.toml", "not found")


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"name = 'caf\xe9'", "not valid TOML.*utf-8"),
        (b"\xff\xfen\x00a\x00", "not valid TOML"),
        (b"[gan\nsteps = 5", "not valid TOML.*line 1"),
        (b"[gan]\nsteps = 5\nsteps = 6", "not valid TOML: Cannot overwrite"),
        (b"x = " + b"[" * 100_000, "not valid TOML.*nested"),
        (b"x = " + b"{a=" * 100_000, "not valid TOML"),
        (b"[" + b".".join([b"a"] * 100_000) + b"]", "not valid TOML"),
        (b"# " + b"x" * (1 << 20), "larger than 1,048,576 bytes"),
        (b"\0" * 100, "not valid TOML"),
        (b"extends = 5", "extends must be the name of a preset, found 5"),
        (b"extends = '../digits'", "preset file ../digits not found"),
        (b"extends = 'digts'", "unknown preset 'digts'; did you mean digits?"),
    ],
    ids=lambda value: repr(value)[:24],
)
def test_a_file_that_is_no_preset_is_refused(write_preset, data, words):
    refused(write_preset(data), words)


def test_presets_that_extend_each_other_are_refused(tmp_path):
    one, two = tmp_path / "one.toml", tmp_path / "two.toml"
    one.write_text(f'extends = "{two}"')
    two.write_text(f'extends = "{tmp_path}/./one.toml"')
    refused(one, "extends itself")
    one.write_text(f'extends = "{one}"')
    refused(one, "extends itself")


def test_a_preset_extends_its_neighbour(tmp_path):
    (tmp_path / "base.toml").write_text('extends = "digits"\n[gan]\nsteps = 7\n')
    (tmp_path / "mine.toml").write_text('extends = "base.toml"\n')
    assert load(tmp_path / "mine.toml").gan.steps == 7
