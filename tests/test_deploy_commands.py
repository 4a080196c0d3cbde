"""`cgankd predict`, `score` and `export`: what they print where, and what they refuse."""

import itertools
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from deployed import CLASSES, DEGREES, network, pixels
from PIL import Image
from sets import noise

import cgankd
from cgankd.deploy import prediction
from cgankd.deploy.model import Parts
from cgankd.deploy.trained import Trained
from cgankd.runs import hdf5
from cgankd.sources import pictures


@pytest.fixture
def model(tmp_path) -> Path:
    network().export(tmp_path / "classes.safetensors")
    return tmp_path / "classes.safetensors"


@pytest.fixture
def degrees(tmp_path) -> Path:
    network(DEGREES).export(tmp_path / "degrees.safetensors")
    return tmp_path / "degrees.safetensors"


def answers(paths: list[Path]) -> tuple[list[str], list[float]]:
    """What the network says of files that are read as in training."""
    images, _ = pictures.read_all(paths, 8, skip_broken=False)
    probabilities = network().outputs(images).softmax(1)
    names = [CLASSES["classes"][place] for place in probabilities.argmax(1).tolist()]
    return names, probabilities.max(1).values.tolist()


# predict


def test_predict_prints_a_line_for_each_image_with_label_and_confidence(invoke, model, tmp_path):
    for number in range(3):
        noise(tmp_path / "photos" / "inner" / f"{number}.png", number, side=11)
    noise(tmp_path / "photos" / "a.png", 7)
    (tmp_path / "photos" / "notes.txt").write_text("no picture")
    (tmp_path / "photos" / ".hidden.png").write_text("no picture")
    code, out, _ = invoke("predict", model, "photos")
    names = ["photos/a.png", *(f"photos/inner/{number}.png" for number in range(3))]
    labels, confidences = answers([tmp_path / name for name in names])
    expected = zip(names, labels, confidences, strict=True)
    assert out == "".join(f"{name}\t{label}\t{sure:.6g}\n" for name, label, sure in expected)
    assert code == 0


def test_predict_gives_json_lines_and_the_likeliest_classes(invoke, model, tmp_path):
    noise(tmp_path / "a.png", 1)
    _, out, _ = invoke("predict", model, "a.png", "a.png", "--json", "--top", 9)
    first, second = (json.loads(line) for line in out.splitlines())
    assert first == second
    assert first["path"] == "a.png"
    assert first["top"][0]["label"] == first["label"]
    assert sorted(one["label"] for one in first["top"]) == ["ant", "bee", "cat"]
    sure = [one["confidence"] for one in first["top"]]
    assert sure == sorted(sure, reverse=True)
    assert sum(sure) == pytest.approx(1)
    _, out, _ = invoke("predict", model, "a.png", "--top", 2)
    assert out.split("\t")[1::2] == [one["label"] for one in first["top"][:2]]


def test_predict_of_a_number_gives_the_value_and_its_unit(invoke, degrees, tmp_path):
    noise(tmp_path / "a.png", 1)
    images, _ = pictures.read_all([tmp_path / "a.png"], 8, skip_broken=False)
    value = float(network(DEGREES).predict(images)[0])
    assert invoke("predict", degrees, "a.png")[:2] == (0, f"a.png\t{value:.6g}\tdegrees\n")
    _, out, _ = invoke("predict", degrees, "a.png", "--json")
    assert json.loads(out) == {"path": "a.png", "value": value, "unit": "degrees"}
    code, out, err = invoke("predict", degrees, "a.png", "--top", 2)
    assert (code, out) == (2, "")
    assert "answers with labels in degrees" in err


def test_what_cannot_be_read_is_named_and_the_rest_is_predicted(invoke, model, tmp_path):
    noise(tmp_path / "a.png", 1)
    (tmp_path / "bad.png").write_text("no picture")
    Image.fromarray(np.arange(64, dtype=np.uint16).reshape(8, 8) * 900).save(tmp_path / "deep.png")
    names = ["none.png", "a.png", "bad.png", "deep.png"]
    code, out, err = invoke("predict", model, *names)
    assert code == 65
    assert [line.split("\t")[0] for line in out.splitlines()] == ["a.png"]
    for words in ("none.png: not a readable", "bad.png: not a readable", "more than 8 bits"):
        assert words in err
    assert "3 of 4 images cannot be read" in err


def test_images_of_more_than_8_bits_are_read_as_those_the_network_was_trained_on(tmp_path):
    values = np.linspace(0, 4095, 64).reshape(8, 8).astype(np.uint16)
    Image.fromarray(values // 2).save(tmp_path / "deep.png")
    plain = network()
    facts = replace(plain.facts, span=(0.0, 4095.0))
    known = Trained(Parts(plain.place, facts, plain.network))
    known.export(tmp_path / "x.safetensors")
    again = cgankd.load(tmp_path / "x.safetensors")
    (one,) = prediction.predict(again, [str(tmp_path / "deep.png")])
    grey = np.rint(values // 2 * (255 / 4095)).astype(np.uint8)
    expected = plain.task.describe(plain.outputs(np.stack([[grey] * 3])), 1)
    assert one.told == expected[0]


def test_names_come_from_stdin_and_a_table_stands_when_it_is_whole(invoke, model, tmp_path):
    odd = os.fsdecode(b"\xff, odd.png")  # no text
    for number, name in enumerate(("a.png", odd)):
        noise(tmp_path / name, number)
    stdin = b"a.png\n\n\xff, odd.png\r\n"
    code, out, _ = invoke("predict", model, "-", "--csv", "table.csv", stdin=stdin)
    assert (code, out) == (0, "table.csv\n")
    lines = (tmp_path / "table.csv").read_bytes().splitlines()
    assert lines[0] == b"path,label,confidence"
    assert lines[1].startswith(b"a.png,")
    assert lines[2].startswith(b'"\xff, odd.png",')
    code, _, err = invoke("predict", model, "-", "--csv", "table.csv", stdin=stdin)
    assert code == 73
    assert "table.csv exists" in err


def test_images_are_read_a_batch_at_a_time_however_many_there_are(tmp_path):
    noise(tmp_path / "a.png", 1)
    asked = itertools.count()
    endless = (str(tmp_path / "a.png") for _ in asked)
    first = next(iter(prediction.predict(network(), endless)))
    assert first.told["label"] in CLASSES["classes"]
    assert next(asked) <= prediction.BATCH


@pytest.mark.slow
def test_predict_into_head_ends_as_other_programs_do_and_without_a_word(model, tmp_path):
    noise(tmp_path / "a.png", 1)
    names = " ".join(["a.png"] * 3000)
    line = f"{sys.executable} -m cgankd predict {model.name} {names} | head -1"
    line += "; echo ${PIPESTATUS[0]}"
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, text=True)
    first, code = done.stdout.splitlines()
    assert "a.png" in first
    assert code == "141"
    assert done.stderr == ""


# score


def labelled(folder: Path, names: tuple[str, ...], num: int = 4) -> list[Path]:
    return [
        noise(folder / name / f"{number}.png", place, number)
        for place, name in enumerate(names)
        for number in range(num)
    ]


def test_score_is_the_error_with_its_parts_on_folders_a_table_and_a_file(invoke, model, tmp_path):
    paths = labelled(tmp_path / "photos", ("ant", "cat"))
    truth = ["ant"] * 4 + ["cat"] * 4
    said, _ = answers(paths)
    wrong = np.array([100.0 * (one != other) for one, other in zip(said, truth, strict=True)])
    code, out, err = invoke("score", model, "photos", "--json")
    found = json.loads(out)["result"]
    assert code == 0
    assert found["score"] == pytest.approx(wrong.mean())
    assert found["standard_error"] == pytest.approx(wrong.std(ddof=1) / 8**0.5)
    assert found["parts"] == [
        {"label": "ant", "images": 4, "error": wrong[:4].mean()},
        {"label": "bee", "images": 0, "error": None},
        {"label": "cat", "images": 4, "error": wrong[4:].mean()},
    ]
    counts = [[said[rows].count(name) for name in CLASSES["classes"]] for rows in HALVES]
    assert found["confusion"] == [counts[0], [0, 0, 0], counts[1]]
    assert "Which were taken for which" in err

    rows = zip(paths, truth, strict=True)
    text = "file,label\n" + "".join(
        f"{path.relative_to(tmp_path)},{label}\n" for path, label in rows
    )
    (tmp_path / "table.csv").write_text(text)
    images, _ = pictures.read_all(paths, 8, skip_broken=False)
    named = np.frombuffer(json.dumps(["ant", "cat"]).encode(), np.uint8)
    arrays = {"images": images, "labels": np.repeat([0, 1], 4), "class_names": named}
    hdf5.write(tmp_path / "all.h5", arrays, {})
    for data in ("table.csv", "all.h5"):
        assert json.loads(invoke("score", model, data, "--json")[1])["result"] == found
    assert invoke("score", model, "photos", "-q") == (0, f"{wrong.mean():.6g}\n", "")


HALVES = (slice(0, 4), slice(4, 8))


def test_score_of_numbers_is_told_by_ranges_with_the_bias(invoke, degrees, tmp_path):
    values = np.array([10.0, 40.0, 89.5, 95.0])  # the last is none that it was trained on
    images = pixels(4).numpy()
    hdf5.write(tmp_path / "all.h5", {"images": images, "labels": values}, {})
    code, out, err = invoke("score", degrees, "all.h5", "--json")
    found = json.loads(out)["result"]
    off = network(DEGREES).predict(images) - values
    assert code == 0, err
    assert found["score"] == pytest.approx(np.abs(off).mean(), rel=1e-5)
    assert found["bias"] == pytest.approx(off.mean(), rel=1e-5)
    assert [part["label"] for part in found["parts"]][::4] == ["10 to 26", "74 to 90"]
    assert [part["images"] for part in found["parts"]] == [1, 1, 0, 0, 2]
    assert found["parts"][4]["error"] == pytest.approx(np.abs(off[2:]).mean(), rel=1e-5)


def test_only_test_images_are_scored_where_some_are_marked_so(invoke, model, tmp_path):
    paths = labelled(tmp_path, ("ant", "cat"))
    rows = [
        f"{path.relative_to(tmp_path)},{path.parent.name},{'test' if number % 4 else 'train'}\n"
        for number, path in enumerate(paths)
    ]
    (tmp_path / "table.csv").write_text("file,label,split\n" + "".join(rows))
    _, out, err = invoke("score", model, "table.csv", "--json")
    assert json.loads(out)["result"]["images"] == 6
    assert "6 of its 8 images are test images" in err


def test_one_class_is_enough_to_score_on(invoke, model, tmp_path):
    said, _ = answers(labelled(tmp_path / "photos", ("bee",)))
    _, out, _ = invoke("score", model, "photos", "-q")
    assert float(out) == 100 * (1 - said.count("bee") / 4)


def test_labels_that_the_network_does_not_have_are_named(invoke, model, degrees, tmp_path):
    labelled(tmp_path / "photos", ("ant", "dog", "eel"))
    code, out, err = invoke("score", model, "photos")
    assert (code, out) == (65, "")
    assert "2 classes that the network does not know: dog, eel" in err
    assert "it knows ant, bee, cat" in err
    code, _, err = invoke("score", degrees, "photos")
    assert code == 65
    assert "has classes, but the network answers with labels in degrees" in err
    named = np.frombuffer(json.dumps(["ant", "cat"]).encode(), np.uint8)
    arrays = {"images": pixels(4).numpy(), "labels": np.arange(4) % 2, "class_names": named}
    hdf5.write(tmp_path / "all.h5", arrays, {})
    assert "has classes, but the network" in invoke("score", degrees, "all.h5")[2]


def test_numbers_of_classes_without_names_are_places_among_the_networks(invoke, model, tmp_path):
    arrays = {"images": pixels(4).numpy(), "labels": np.array([0, 1, 2, 1])}
    hdf5.write(tmp_path / "all.h5", arrays, {})
    code, out, err = invoke("score", model, "all.h5", "--json")
    truth = np.array([0, 1, 2, 1])
    expected = 100 * np.mean(network().predict(pixels(4)) != truth)
    assert (code, json.loads(out)["result"]["score"]) == (0, pytest.approx(expected))
    assert "taken as places among the network's" in err
    with h5py.File(tmp_path / "all.h5", "r+") as file:
        file["labels"][:] = [0, 1, 2, 3]
    assert "1 classes that the network does not know: 3" in invoke("score", model, "all.h5")[2]


# export


def test_export_prints_the_path_and_says_how_well_it_agrees(invoke, model, tmp_path):
    code, out, err = invoke("export", model, "--to", "again.safetensors")
    assert (code, out) == (0, "again.safetensors\n")
    assert "differ from the network's by at most 0 on 64 images of noise" in err
    assert cgankd.load(tmp_path / "again.safetensors").label.classes == ("ant", "bee", "cat")
    code, out, err = invoke("export", model, "--to", "again.safetensors")
    assert (code, out) == (73, "")


def test_what_is_no_network_is_told(invoke, tmp_path):
    for command in (
        ["predict", "runs", "a.png"],
        ["score", "runs", "d"],
        ["export", "runs", "--to", "x.pt2"],
    ):
        code, out, err = invoke(*command)
        assert (code, out) == (65, "")
        assert "runs not found" in err
