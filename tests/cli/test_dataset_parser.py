"""The arguments of `maskloss dataset`."""

import pytest
from maskloss.cli.main import main


def test_a_trainer_has_to_be_named(capsys: pytest.CaptureFixture[str]) -> None:
    for arguments in (["dataset", "export", "a", "b"], ["dataset", "export", "a", "b", "--format", "paint"]):
        with pytest.raises(SystemExit):
            main(arguments)
        assert "--format" in capsys.readouterr().err
