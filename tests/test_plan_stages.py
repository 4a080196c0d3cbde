"""The table of stages: their order, their modules and commands."""

import importlib
import inspect

import pytest
from planning import job

from cgankd.cli import commands
from cgankd.plan import STAGES


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
