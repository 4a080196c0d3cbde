"""The option --from: which file is which part, and what an import leaves unfinished."""

from pathlib import Path

import pytest
import toy

from cgankd import plan
from cgankd.errors import UserError
from cgankd.job import ImportFile
from cgankd.runs import file_digest

SETTINGS = toy.settings("digits")
ANGLE = toy.settings("digits-angle")


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder to be in, with a file of no content that matters."""
    monkeypatch.chdir(tmp_path)
    Path("here.pth").write_bytes(b"x")
    return tmp_path


@pytest.mark.parametrize(
    ("stage", "given", "message", "code"),
    [
        ("train-gan", ["none.pth"], "there is no file none.pth", 65),
        ("train-gan", ["generator=none.pth"], "there is no file none.pth", 65),
        ("fit-dre", ["here.pth"], "expected PART=FILE, PART being one of features, ratio", 2),
        ("fit-dre", ["label=here.pth"], "expected PART=FILE", 2),
        ("fit-dre", ["features=here.pth", "features=here.pth"], "features has a file already", 2),
        ("fit-dre", ["ratio=here.pth"], "reads the features of one extractor only", 2),
    ],
)
def test_what_is_no_part_or_no_file_is_refused(here, stage, given, message, code):
    with pytest.raises(UserError, match=message) as caught:
        plan.import_files(stage, given, SETTINGS)
    assert caught.value.code == code


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (["here.pth"], "expected PART=FILE, PART being one of generator, condition, embedding"),
        (["generator=here.pth"], "takes the h of one label embedding only"),
        (["generator=here.pth", "embedding=here.pth"], "takes the h of one label embedding only"),
    ],
)
def test_a_generator_of_a_continuous_label_comes_with_its_label_embedding(here, given, message):
    with pytest.raises(UserError, match=message) as caught:
        plan.import_files("train-gan", given, ANGLE)
    assert caught.value.code == 2


@pytest.mark.parametrize(
    "parts", [["condition", "embedding"], ["embedding"], ["generator", "condition"]]
)
def test_what_a_gan_is_conditioned_on_can_be_named_alone(here, parts):
    expected = ImportFile(str(here / "here.pth"), file_digest(here / "here.pth"))
    given = [f"{part}=here.pth" for part in parts]
    assert plan.import_files("train-gan", given, ANGLE) == dict.fromkeys(parts, expected)


def test_a_condition_comes_with_what_reads_labels_where_the_generator_is_held_to_them(here):
    with pytest.raises(UserError, match=r"gan\.auxiliary asks for the network") as caught:
        plan.import_files("train-gan", ["condition=here.pth"], ANGLE)
    assert (caught.value.code, "--from embedding=FILE" in caught.value.hint) == (2, True)
    free = toy.settings("digits-angle", "gan.auxiliary=0")
    assert plan.import_files("train-gan", ["condition=here.pth"], free).keys() == {"condition"}


def test_a_file_larger_than_any_weights_is_refused_unread(tmp_path):
    with (tmp_path / "huge.pth").open("wb") as file:
        file.truncate((2 << 30) + 1)
    with pytest.raises(UserError, match=r"2,147,483,649 bytes, more than"):
        plan.import_files("train-gan", [str(tmp_path / "huge.pth")], SETTINGS)


def test_a_file_is_named_by_its_part_or_alone_and_may_have_an_equals_sign(here):
    Path("a=b.pth").write_bytes(b"y")
    expected = ImportFile(str(here / "a=b.pth"), file_digest(Path("a=b.pth")))
    assert plan.import_files("train-gan", ["a=b.pth"], SETTINGS) == {"generator": expected}
    (network,) = SETTINGS.teacher.networks
    named = [f"{network}=a=b.pth"]
    assert plan.import_files("train-teacher", named, SETTINGS) == {network: expected}


def test_an_import_that_was_cut_off_asks_for_its_file_again(tmp_path):
    job, file = toy.job("digits", tmp_path), ImportFile("G.pth", "0" * 64)
    importing = job.asking(imports={"generator": file})
    plan.gan(importing).begin()
    artefact = plan.gan(job)
    assert artefact.state() == "begun"
    with pytest.raises(UserError, match="its import was not finished") as caught:
        plan.import_of("generator", artefact, job)
    assert "--from" in caught.value.hint
    assert plan.import_of("generator", artefact, importing) == file
