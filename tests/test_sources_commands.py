"""`cgankd data` and `cgankd presets`: what they print, what they write, and what they refuse."""

import json
import sys

import h5py
import numpy as np
import pytest
from PIL import Image

from cgankd import preset, signals, sources
from cgankd.cli import commands
from cgankd.preset import Data
from cgankd.runs import hdf5
from cgankd.sources import inspection

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
    assert ["images", "test: 10, pool: 30"] in lines
    assert ["classes", "4, of 10 to 10 images: 0, 1, 2, 3"] in lines
    assert ["problems", "none found"] in lines


def test_inspect_names_every_problem_of_a_folder(cgankd, tmp_path):
    for name, size in (("a", (8, 8)), ("b", (9, 5))):
        (tmp_path / "set" / name).mkdir(parents=True)
        Image.new("RGB", size).save(tmp_path / "set" / name / "1.png")
        (tmp_path / "set" / name / "2.png").write_bytes(b"broken")
    code, out, _ = cgankd("data", "inspect", tmp_path / "set", "--json")
    facts = json.loads(out)["result"]
    assert code == 0
    assert facts["source"] == "folder"
    assert facts["classes"] == {"a": 2, "b": 2}
    assert facts["sizes"] == {"8 x 8": 1, "9 x 5": 1}
    assert [problem.split(":")[0][-7:] for problem in facts["problems"]] == ["a/2.png", "b/2.png"]


def test_inspect_tells_numbers_from_classes(tmp_path, write):
    facts = inspection.inspect(write({"images": IMAGES, "labels": np.linspace(0, 2, 40)}))
    assert facts["numbers"] == {"distinct": 40, "min": 0.0, "max": 2.0}
    for number in range(4):
        Image.new("RGB", (8, 8)).save(tmp_path / f"{number}.png")
    (tmp_path / "t.csv").write_text(
        "file,label\n" + "".join(f"{number}.png,{number % 2}\n" for number in range(4))
    )
    facts = inspection.inspect(tmp_path / "t.csv")
    assert (facts["source"], facts["classes"], facts["problems"]) == ("csv", {"0": 2, "1": 2}, [])


def test_inspect_follows_no_link(tmp_path):
    with h5py.File(tmp_path / "x.h5", "w") as file:
        file["images"] = h5py.ExternalLink("/etc/passwd", "x")
    facts = inspection.inspect(tmp_path / "x.h5")
    assert facts["arrays"] == {"images": "a link"}
    assert len(facts["problems"]) == 1


def test_prepare_writes_what_the_source_h5_reads_as_the_same_data(cgankd, tmp_path, write):
    asked = [
        "data.source='h5'",
        f"data.path='{write(WHOLE)}'",
        "data.size=8",
        "data.num_train=20",
        "data.num_validation=8",
    ]
    changes = [word for change in asked for word in ("--set", change)]
    code, out, _ = cgankd(
        "data", "prepare", "-p", "digits", *changes, "--seed", 3, "--to", tmp_path / "new.h5"
    )
    assert (code, out) == (0, f"{tmp_path / 'new.h5'}\n")
    data = preset.load("digits", asked).data
    made = data.model_copy(update={"path": str(tmp_path / "new.h5")})
    first, again = sources.load(data, 3), sources.load(made, 99)
    assert first.digest() == again.digest()
    assert cgankd("data", "verify", tmp_path / "new.h5")[:2] == (0, f"{tmp_path / 'new.h5'}\n")
    code, out, err = cgankd("data", "prepare", *changes, "--to", tmp_path / "new.h5")
    assert (code, out) == (73, "")
    assert "new.h5 exists" in err


def test_prepare_keeps_the_meaning_of_a_continuous_label_and_the_digits(cgankd, tmp_path):
    path = tmp_path / "angles.h5"
    assert (
        cgankd("data", "prepare", "-p", "digits-angle", "--set", "data.size=8", "--to", path)[0]
        == 0
    )
    original = sources.load(preset.load("digits-angle", ["data.size=8"]).data, 0)
    sizes = {
        "num_train": len(original.rows["train"]),
        "num_validation": len(original.rows["validation"]),
    }
    made = Data(source="h5", path=str(path), size=8, range=[0.0, 90.0], unit="degrees", **sizes)
    source = sources.load(made, 5)
    assert source.label == original.label
    for split in sources.SPLITS:
        assert np.array_equal(
            source.images[source.rows[split]], original.images[original.rows[split]]
        )
        assert np.array_equal(
            source.labels[source.rows[split]], original.labels[original.rows[split]]
        )
    code, out, _ = cgankd("data", "verify", path, "--json")
    assert code == 0
    assert json.loads(out)["result"]["label"]["max"] == 90.0


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
    assert written.splitlines()[0] == mine.read_text().splitlines()[0]


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
