"""`cgankd data` and `cgankd presets`: what they print, what they write, and what they refuse."""

import json
import sys

import h5py
import numpy as np
import pytest
import toy
from PIL import Image
from sets import noise

from cgankd import preset, signals, sources
from cgankd.cli import commands
from cgankd.preset import Data
from cgankd.runs import hdf5
from cgankd.sources import inspection
from cgankd.sources.prepare import prepare

IMAGES = np.random.default_rng(0).integers(0, 256, (40, 3, 8, 8), dtype=np.uint8)
WHOLE = {"images": IMAGES, "labels": np.arange(40) % 4, "indx_test": np.arange(30, 40)}


@pytest.fixture
def cgankd(monkeypatch, capsys):
    """Runs a command in this process: exit code, stdout, stderr."""

    def run(*arguments: object) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["cgankd", *map(str, arguments)])
        monkeypatch.setattr(signals, "install", lambda: None)
        with pytest.raises(SystemExit) as left:
            commands.main()
        found = capsys.readouterr()
        return int(left.value.code or 0), found.out, found.err

    return run


@pytest.fixture
def write(tmp_path):
    def write(arrays: dict[str, np.ndarray], name: str = "x.h5"):
        (tmp_path / name).write_bytes(hdf5.to_bytes(arrays, {}))
        return tmp_path / name

    return write


def test_inspect_lists_arrays_classes_and_no_problem(cgankd, write):
    code, out, _ = cgankd("data", "inspect", write(WHOLE))
    assert code == 0
    lines = [line.split(maxsplit=1) for line in out.splitlines()]
    assert ["images", "uint8 (40, 3, 8, 8)"] in lines
    assert ["images", "test: 10, development: 30"] in lines
    assert ["classes", "4, of 10 to 10 images: 0, 1, 2, 3"] in lines
    assert ["problems", "none found"] in lines


def test_inspect_names_every_broken_image_and_what_the_others_are(cgankd, tmp_path):
    for name, size in (("a", (8, 8)), ("b", (9, 5))):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("RGB", size, "red").save(tmp_path / "set" / name / "1.png")
        (tmp_path / "set" / name / "2.png").write_bytes(b"broken")
    code, out, _ = cgankd("data", "inspect", tmp_path / "set", "--json")
    facts = json.loads(out)["result"]
    assert code == 65
    assert facts["source"] == "folder"
    assert facts["classes"] == {"a": 1, "b": 1}
    assert facts["sizes"] == {"8 x 8": 1, "9 x 5": 1}
    (problem,) = facts["problems"]
    assert "2 of 4 images cannot be read" in problem
    for name in ("a/2.png", "b/2.png", "data.skip_broken = true"):
        assert name in problem


def test_inspect_tells_numbers_from_classes(tmp_path, write):
    facts = inspection.inspect(write({"images": IMAGES, "labels": np.linspace(0, 2, 40)}))
    assert facts["numbers"] == {"distinct": 40, "min": 0.0, "max": 2.0}
    for number in range(8):
        Image.fromarray(IMAGES[number].transpose(1, 2, 0)).save(tmp_path / f"{number}.png")
    (tmp_path / "t.csv").write_text(
        "file,label\n" + "".join(f"{number}.png,{number % 2}\n" for number in range(8))
    )
    facts = inspection.inspect(tmp_path / "t.csv")
    assert (facts["source"], facts["classes"], facts["problems"]) == ("csv", {"0": 4, "1": 4}, [])


@pytest.mark.parametrize(
    ("labels", "bounds", "found"),
    [
        (np.arange(40) % 4, None, "classes"),
        (np.arange(40) % 4 + 1, None, "classes are numbered from 0"),
        (np.arange(40) % 4 + 1, (1, 4), "numbers"),
        (np.arange(20, 60), None, "numbers"),
        (np.linspace(0, 2, 40), None, "numbers"),
        (np.linspace(0, 2, 40), (0, 1), "lie outside"),
        (np.r_[np.linspace(0, 2, 39), np.nan], None, "are no numbers"),
        (np.zeros(40), None, "of one class"),
    ],
)
def test_inspect_reads_as_a_run_would_and_ends_with_65_where_it_refuses(
    labels, bounds, found, cgankd, write
):
    given = ["--range", *bounds] if bounds else []
    code, out, err = cgankd("data", "inspect", write({**WHOLE, "labels": labels}), *given, "--json")
    facts = json.loads(out)["result"]
    if found in ("classes", "numbers"):
        assert (code, facts["problems"]) == (0, [])
        assert found in facts
    else:
        assert code == 65
        assert found in facts["problems"][0]
        assert "a run refuses this, 1 problem listed above" in err


def test_inspect_and_prepare_agree_on_what_is_refused(cgankd, tmp_path):
    table = tmp_path / "t.csv"
    for number in range(30):
        noise(tmp_path / f"{number}.png", number)
    cases = {
        "names from 1 on": ([f"{number % 10 + 1}" for number in range(30)], 0),
        "one class": (["a"] * 30, 65),
        "fractions as classes": ([f"{number % 3}.5" for number in range(30)], 0),
        "an escape code": ([["a", "\x1b[0m"][number % 2] for number in range(30)], 65),
    }
    for name, (labels, code) in cases.items():
        table.write_text("file,label\n" + "".join(f"{i}.png,{x}\n" for i, x in enumerate(labels)))
        assert cgankd("data", "inspect", table)[0] == code, name
        numbers = ["-s", "data.range=[0, 9]"] if "fractions" in name else []
        kind = "digits-angle" if numbers else "digits"
        prepared = tmp_path / f"{name}.h5"
        asked = ["data.source=csv", f"data.path='{table}'", "data.size=8"]
        auto = ["data.num_train=auto", "data.num_validation=auto"]
        changes = [word for change in [*asked, *auto] for word in ("-s", change)]
        given = ["data", "prepare", "-p", kind, *changes, *numbers, "--to", prepared]
        assert cgankd(*given)[0] == code, name


def test_names_that_are_too_long_for_the_system_are_one_message(cgankd):
    for arguments in (
        ("data", "inspect", "x" * 300),
        ("data", "verify", "x" * 300),
        ("data", "prepare", "--to", "x" * 300),
    ):
        code, out, err = cgankd(*arguments)
        assert code in (65, 73)
        assert out == ""
        assert "File name too long" in err


def test_inspect_follows_no_link(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"] = h5py.ExternalLink("/etc/passwd", "x")
    facts = inspection.inspect(tmp_path / "x.h5")
    assert facts["arrays"] == {"images": "a link"}
    assert len(facts["problems"]) == 1


def test_prepare_prints_the_path_of_its_file_and_replaces_none(cgankd, tmp_path):
    path = tmp_path / "new.h5"
    arguments = ["data", "prepare", "--set", "data.size=8", "--seed", 3, "--to", path]
    assert cgankd(*arguments)[:2] == (0, f"{path}\n")
    with hdf5.Reader(path) as file:
        assert file.attributes()["seed"] == 3
    assert cgankd("data", "verify", path)[:2] == (0, f"{path}\n")
    code, out, err = cgankd(*arguments)
    assert (code, out) == (73, "")
    assert "new.h5 exists" in err


def own_file(tmp_path) -> Data:
    (tmp_path / "x.h5").write_bytes(hdf5.to_bytes(WHOLE, {}))
    return Data(source="h5", path=str(tmp_path / "x.h5"), size=8, num_train=20, num_validation=8)


def rc49(tmp_path) -> Data:
    toy.rc49(tmp_path / "RC-49.h5")
    asked = {"path": str(tmp_path / "RC-49.h5"), "num_train": 900, "num_validation": 450}
    return Data(source="rc49", size=16, **asked)


def faces(tmp_path) -> Data:
    toy.faces(tmp_path / "faces", {1: 25, 30: 10, 60: 5})
    asked = {"num_train": "auto", "num_validation": "auto", "min_per_label": 12}
    return Data(source="utkface", path=str(tmp_path / "faces"), size=16, **asked)


def digits(tmp_path) -> Data:
    return Data(source="digits", size=8, num_train=200, num_validation=100)


def turned_digits(tmp_path) -> Data:
    return Data(source="digits-angle", size=8, num_train=200, num_validation=100, num_test=50)


@pytest.mark.parametrize("ask", [own_file, rc49, faces, digits, turned_digits])
def test_what_prepare_writes_is_the_same_data_to_its_source_and_to_h5(ask, tmp_path):
    asked, path = ask(tmp_path), tmp_path / "prepared.h5"
    prepare(asked, 3, path)
    original = sources.load(asked, 3)
    facts = {key: original.label[key] for key in ("unit", "step") if key in original.label}
    if not asked.label_kind.discrete:
        facts["range"] = [original.label["min"], original.label["max"]]
    sizes = {"num_train": "auto", "num_validation": "auto", "size": asked.size}
    again = [Data(source="h5", path=str(path), min_per_label=asked.min_per_label, **sizes, **facts)]
    if not asked.facts.embedded:
        again.append(asked.model_copy(update={"path": str(path)}))
    seed = 3 if asked.min_per_label else 99  # which rows are repeated is all that is drawn anew
    for settings in again:
        source = sources.load(settings, seed)
        assert source.label == original.label
        for split in sources.SPLITS:
            for values, expected in zip(held(source, split), held(original, split), strict=True):
                np.testing.assert_array_equal(values, expected)
    assert inspection.verify(path, None)["label"] == original.label


def held(source: sources.Source, split: str) -> list[np.ndarray]:
    """The images, labels and types of a split."""
    arrays = (source.images, source.labels, source.types)
    return [array[source.rows[split]] for array in arrays if array is not None]


def test_verify_finds_test_images_among_those_to_train_on(cgankd, write):
    images = IMAGES.copy()
    images[33] = images[7]
    code, out, err = cgankd("data", "verify", write({**WHOLE, "images": images}))
    assert (code, out) == (65, "")
    assert (
        "1 test images are images to train on too, pixel for pixel: row 33 of all images is row 7"
        in err
    )


def test_verify_needs_the_range_of_numbers(cgankd, write):
    path = write({**WHOLE, "labels": np.linspace(0, 2, 40)})
    code, _, err = cgankd("data", "verify", path)
    assert code == 65
    assert "class labels must be integers" in err
    assert cgankd("data", "verify", path, "--range", 0, 2)[0] == 0
    assert "39 of 40 labels lie outside" in cgankd("data", "verify", path, "--range", 2, 3)[2]


def test_presets_are_listed_shown_and_copied(cgankd, tmp_path):
    code, out, _ = cgankd("presets", "ls")
    assert code == 0
    assert out.split() == preset.names()
    written = (preset.folder() / "digits.toml").read_text()
    assert cgankd("presets", "show", "digits")[1] == written
    assert (
        json.loads(cgankd("presets", "show", "digits", "--json")[1])["result"]
        == preset.load("digits").model_dump()
    )
    mine = tmp_path / "mine.toml"
    assert cgankd("presets", "cp", "digits", mine)[:2] == (0, f"{mine}\n")
    assert preset.load(mine) == preset.load("digits").model_copy(update={"name": "mine"})
    assert written.splitlines()[0] == mine.read_text().splitlines()[1]


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["data", "inspect", "nowhere"], 65, "nowhere not found"),
        (["data", "verify", "nowhere.h5"], 65, "nowhere.h5 not found"),
        (["presets", "show", "digit"], 2, "did you mean digits?"),
        (["presets", "cp", "digits", "UP.toml"], 2, "expected a file name such as mine.toml"),
        (["presets", "cp", "digits", "mine.txt"], 2, "expected a file name such as mine.toml"),
        (["data", "prepare", "-p", "digit", "--to", "x.h5"], 2, "did you mean digits?"),
    ],
)
def test_bad_calls_get_one_message_and_write_nothing(
    arguments, code, message, cgankd, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    found, out, err = cgankd(*arguments)
    assert (found, out) == (code, "")
    assert message in err
    assert not any(tmp_path.iterdir())


def test_a_copy_does_not_replace_a_file(cgankd, tmp_path):
    (tmp_path / "mine.toml").write_text("mine")
    assert cgankd("presets", "cp", "digits", tmp_path / "mine.toml")[0] == 73
    assert (tmp_path / "mine.toml").read_text() == "mine"
