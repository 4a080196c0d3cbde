"""Presets: every one loads, and what each table takes."""

import inspect
import typing

import pytest
from refusals import refused

from cgankd import preset, sources
from cgankd.errors import UserError
from cgankd.models import GANS
from cgankd.models.biggan import WIDTHS
from cgankd.models.cnn import TRUNKS, make_trunk
from cgankd.models.ratio import HIDDEN
from cgankd.preset import Preset, load
from cgankd.preset.sources import SOURCES
from cgankd.sources import catalogue


@pytest.mark.parametrize("path", sorted(preset.folder().glob("*.toml")), ids=lambda path: path.stem)
def test_every_preset_loads_by_name_and_as_a_file_and_survives_being_written(path, tmp_path):
    loaded = load(path.stem)
    assert loaded == load(path) == load(str(path))
    assert loaded.name == path.stem
    (tmp_path / "resolved.toml").write_text(preset.dump(loaded))
    assert load(tmp_path / "resolved.toml") == loaded


def test_the_names_are_those_of_the_files():
    assert (
        {"digits", "digits-angle"}
        <= set(preset.names())
        == {path.stem for path in preset.folder().glob("*.toml")}
    )


def test_the_names_a_preset_can_give_are_those_of_the_tables():
    assert set(typing.get_args(preset.CnnName)) == set(TRUNKS)
    assert set(typing.get_args(preset.GanName)) == set(GANS)
    assert set(typing.get_args(preset.RatioName)) == set(HIDDEN)


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_of_the_table_has_a_reader_with_the_same_functions(name):
    module = catalogue.reader(name)
    for function in ("read", "files", "label", "recognises"):
        expected = inspect.signature(getattr(catalogue.Reader, function)).parameters
        given = inspect.signature(getattr(module, function)).parameters
        assert ["self", *given] == list(expected), function


def test_a_width_suffix_of_a_network_is_read_as_a_decimal():
    assert make_trunk(preset.check_cnn("resnet8_x0_25"), 8).num_features == 16
    assert make_trunk(preset.check_cnn("resnet8_x2"), 8).num_features == 128
    for wrong in ("resnet8_x0.5", "resnet8_xx2", "resnet8_x-1", "resnet8_x1_2_3"):
        with pytest.raises(ValueError, match="unknown network"):
            preset.check_cnn(wrong)


def test_integers_in_places_of_floats_become_floats(write_preset):
    given = (
        "[gan]\nlearning_rate = 1\n[rho]\ngrid = [1]\n[distill]\nrho = 1\nmomentum = 0\nbetas "
        "= [0, 1]\n"
    )
    loaded = load(write_preset(given))
    numbers = [
        loaded.gan.learning_rate,
        loaded.search.grid[0],
        loaded.distill.rho,
        loaded.distill.momentum,
        *loaded.distill.betas,
    ]
    assert [(type(number), number) for number in numbers] == [
        (float, value) for value in (1, 1, 1, 0, 0, 1)
    ]
    assert preset.dump(loaded) == preset.dump(
        load(write_preset(given.replace("= 1\n", "= 1.0\n").replace("[1]", "[1.0]")))
    )


def test_a_preset_cannot_be_changed_once_loaded():
    with pytest.raises(ValueError, match="frozen"):
        load("digits").gan.steps = 5


@pytest.mark.parametrize(
    ("labels", "num", "values"),
    [
        ("7", 7, []),
        ("[45, 0, 90.0]", 3, [45.0, 0.0, 90.0]),
        ("{first = 0.1, last = 89.9, step = 0.2}", 450, [0.1, 0.3, 0.5]),
        ("{first = 5, last = 5, step = 1}", 1, [5.0]),
        ("{random = 500}", 500, []),
    ],
)
def test_labels_to_generate_are_counted_and_a_written_preset_asks_for_the_same(
    write_preset, labels, num, values
):
    loaded = load(
        "digits-angle", [f"generate.labels={labels}", "gan.vicinity={}", "dre.vicinity={nu = 9.0}"]
    )
    assert loaded.generate.num_labels == num
    assert loaded.generate.values[:3] == pytest.approx(values, abs=1e-12)
    assert loaded.generate.values[-1:] in ([], [90.0], [89.9], [5.0]), (
        "the last is exact, to lie within the range"
    )
    assert (loaded.gan.vicinity.gaps, loaded.dre.vicinity.gaps) == (2.0, None)
    assert load(write_preset(preset.dump(loaded), extends="")) == loaded


def test_labels_to_generate_outside_the_range_are_refused_where_it_is_known():
    asked = load("digits-angle", ["generate.labels=[0, 90, 90.5, -3]"])
    angle = {"kind": "continuous", "min": 0.0, "max": 90.0, "unit": "degrees"}
    with pytest.raises(
        UserError, match=r"generate.labels: 90.5 \(and 1 more\) lies outside \[0, 90\]"
    ) as caught:
        preset.check_labels(asked, angle)
    assert caught.value.code == 2
    preset.check_labels(asked, None)
    preset.check_labels(asked, {**angle, "min": -3.0, "max": 90.5})
    preset.check_labels(load("digits"), {"kind": "class", "classes": ["a"]})


@pytest.mark.parametrize(
    ("given", "span"),
    [
        ([], 90),
        (["data.source=h5", "data.path=x.h5", "data.range=[1.0, 61.0]"], 60),
        (["data.source=utkface"], 60),
    ],
)
def test_a_window_is_no_wider_than_the_range(given, span):
    for radius in (span / 2, span / 2 + 1):
        asked = load("digits-angle", [*given, f"evaluate.radius={radius}"])
        if radius > span / 2:
            with pytest.raises(UserError, match=f"evaluate.radius = {radius:g}, but the range"):
                preset.check_labels(asked, sources.known_label(asked.data))
        else:
            preset.check_labels(asked, sources.known_label(asked.data))


def test_biggan_draws_the_sides_that_it_has_widths_for():
    for power in range(3, 11):
        if 1 << power in WIDTHS:
            assert load("digits", [f"data.size={1 << power}"]).data.size == 1 << power
        else:
            refused(
                "digits",
                "data.size: biggan draws images of side 8 to 128",
                [f"data.size={1 << power}"],
            )


def test_z_is_cut_into_one_part_more_than_there_are_blocks():
    settings = load(
        "digits", ["data.size=64", "gan.shared=128", "gan.latent=120", "gan.attention=32"]
    ).gan
    assert (settings.shared, settings.latent, settings.attention) == (128, 120, 32)
    for parts, side in ((2, 8), (3, 16), (4, 32), (5, 64), (6, 128)):
        refused(
            "digits", f"{parts} equal parts", [f"data.size={side}", "gan.shared=8", "gan.latent=61"]
        )


@pytest.mark.parametrize("network", ["sngan", "sagan"])
@pytest.mark.parametrize("change", ["gan.shared=8", "gan.attention=8", "gan.tapered=true"])
def test_what_only_biggan_has_is_refused_for_the_other_gans(change, network):
    words = f"gan.shared, gan.attention and gan.tapered: only biggan has them, not {network}"
    refused("digits-angle", words, [change, f"gan.network={network}"])


def test_diversity_is_for_class_labels():
    assert load("digits", ["gan.diversity=2.0"]).gan.diversity == 2.0
    refused("digits-angle", "gan.diversity is for class labels", ["gan.diversity=1.0"])


def test_the_auxiliary_term_is_for_a_continuous_label():
    assert load("digits-angle", ["gan.auxiliary=2.0"]).gan.auxiliary == 2.0
    refused("digits", "gan.auxiliary is for a continuous label", ["gan.auxiliary=1.0"])


def test_a_continuous_label_takes_either_of_two_gans():
    assert load("digits-angle", ["gan.network=sagan"]).gan.network == "sagan"
    refused("digits-angle", "biggan takes class labels", ["gan.network=biggan"])


def test_a_loaded_preset_is_checked_again_on_its_way_between_processes():
    values = load("digits").model_dump()
    assert Preset.model_validate(values) == load("digits")
    with pytest.raises(ValueError, match="steps"):
        Preset.model_validate({**values, "gan": {**values["gan"], "steps": 0}})
