"""Rules of other trainers for captions."""

import pytest
from maskloss.core.dataset.caption_rule import CaptionRule


@pytest.mark.parametrize(
    ("rule", "caption", "expected"),
    [
        (CaptionRule(), "a\nb", "a\nb"),
        (CaptionRule(first_line=True), "\n a \nb", "a"),
        (CaptionRule(always="x\ny", first_line=True), "a", "x"),
        (CaptionRule(default="woman"), "", "woman"),
        (CaptionRule(from_name=True), "a", "my photo"),
        (CaptionRule(trigger="ohwx"), "a [trigger] b", "a ohwx b"),
        (CaptionRule(trigger="ohwx"), "at the sea", "ohwx at the sea"),
        (CaptionRule(trigger="ohwx"), "Ohwx at the sea", "Ohwx at the sea"),
        (CaptionRule(prefix="photo of ", suffix=" now"), "a", "photo of a now"),
    ],
)
def test_what_becomes_of_a_caption(rule, caption, expected) -> None:
    assert rule.apply(caption, "sub/my_photo") == expected
