"""What is said of how another trainer resizes masks."""

from pathlib import Path

from maskloss.core.dataset.scan import DatasetConfig
from maskloss.core.dataset.trainers.translation import Filter, translated


def test_each_sentence_once_and_the_filter_where_there_are_masks() -> None:
    masked, bare = DatasetConfig(Path("a"), mask_directory=Path("b")), DatasetConfig(Path("a"))
    found = translated("X", [masked, bare], ["one", "one"], Filter.LANCZOS)
    assert found.messages[0] == "one"
    assert "X resizes masks by: Lanczos." in found.messages[1]
    assert translated("X", [bare], [], Filter.AREA).messages == ()
