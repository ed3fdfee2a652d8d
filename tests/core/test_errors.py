"""The tree of errors: who can mend what, and what a network's failure says."""

import inspect

import pytest
from maskloss.core import errors
from maskloss.core.errors import (
    CacheError,
    DatasetError,
    ImageError,
    InternalError,
    MaskLossError,
    MaskMissingError,
    ModelRunError,
    NonFiniteLossError,
    SettingError,
    TrainingError,
    UserError,
    VideoError,
)

EVERY = [kind for _, kind in inspect.getmembers(errors, inspect.isclass) if kind.__module__ == errors.__name__]


def test_every_error_has_one_root_and_a_line_that_says_what_it_means() -> None:
    assert all(issubclass(kind, MaskLossError) and kind.__doc__ for kind in EVERY)
    assert [kind for kind in EVERY if not issubclass(kind, UserError)] == [InternalError, MaskLossError]


@pytest.mark.parametrize(
    ("kind", "caught_as"),
    [
        (SettingError, ValueError),
        (VideoError, ImageError),
        (MaskMissingError, DatasetError),
        (NonFiniteLossError, TrainingError),
    ],
)
def test_special_errors_are_caught_as_their_kind(kind: type[Exception], caught_as: type[Exception]) -> None:
    with pytest.raises(caught_as, match="found 3"):
        raise kind("expected 2, found 3")
    assert not issubclass(kind, CacheError)


def test_a_networks_failure_names_model_picture_and_size() -> None:
    named = ModelRunError("SAM", (640, 480), "RuntimeError: no kernel", "beach.jpg")
    assert "The model SAM failed while it ran on the picture beach.jpg, 640x480 pixels" in str(named)
    assert "(RuntimeError: no kernel)" in str(named)
    assert (named.model, named.size, named.why, named.picture) == (
        "SAM",
        (640, 480),
        "RuntimeError: no kernel",
        "beach.jpg",
    )
    nameless = ModelRunError("SAM", (640, 480), "why")
    assert nameless.picture == ""
    assert "on a picture of 640x480 (why)" in str(nameless)
