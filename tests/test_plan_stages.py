"""The table of stages: their order, their modules and commands, and which a preset has."""

import importlib
import inspect

import pytest
from planning import job

from cgankd import plan, preset
from cgankd.cli import commands
from cgankd.errors import UserError
from cgankd.plan import STAGES
from cgankd.runs import RunFolder


def test_every_input_of_a_stage_is_made_before_it(finished_run):
    made: set[str] = set()
    for stage in STAGES.values():
        reads = stage.reads(job(finished_run, name="digits-angle"))
        assert {command for command, _ in reads} <= made, stage.name
        made.add(stage.name)
    assert len(made) == 7


@pytest.mark.parametrize("stage", STAGES.values(), ids=STAGES)
def test_every_stage_has_its_command_and_the_module_that_runs_it(stage):
    assert STAGES[stage.name] is stage
    assert stage.name in {command.name for command in commands.app.registered_commands}
    run = importlib.import_module(stage.module).run
    assert list(inspect.signature(run).parameters) == ["job", "machine"]


def test_every_artefact_of_a_stage_is_named_after_its_command(finished_run):
    for stage in STAGES.values():
        asked = job(finished_run, name="digits-angle")
        assert {artefact.command for artefact in stage.plan(asked)} == {stage.name}


def test_a_preset_without_the_table_evaluate_has_one_stage_less_and_the_command_says_so(tmp_path):
    everything, plain = list(STAGES.values()), preset.load("digits")
    assert plan.chain_of(preset.load("digits-angle")) == everything
    assert plan.chain_of(plain) == [stage for stage in everything if stage.name != "evaluate"]
    with pytest.raises(UserError, match=r"digits has no table \[evaluate\]") as caught:
        STAGES["evaluate"].plan(job(RunFolder(tmp_path)))
    assert (caught.value.code, "continuous label" in caught.value.hint) == (2, True)
