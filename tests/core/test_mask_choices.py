"""Choices of the loss settings by their names."""

import pytest
from maskloss.core.errors import SettingError
from maskloss.core.mask_choices import DopRegion, Normalization, parse_choice, resolve_normalization


def test_choices_are_named_by_their_values():
    assert resolve_normalization("batch") is Normalization.BATCH
    assert parse_choice(DopRegion, "dop_region", DopRegion.INSIDE) is DopRegion.INSIDE
    with pytest.raises(SettingError, match="dop_region must be one of everywhere, inside, outside; found 'both'"):
        parse_choice(DopRegion, "dop_region", "both")
