"""The trigger word in captions."""

import pytest
from maskloss.core.dataset.trigger import class_caption, has_word, insert_trigger, replace_trigger, trigger_pairs
from maskloss.core.errors import SettingError


@pytest.mark.parametrize(
    ("caption", "class_noun", "expected"),
    [
        ("a woman at the sea", "woman", "a ohwx woman at the sea"),
        ("a Woman, another woman", "woman", "a ohwx Woman, another woman"),
        ("two women at the sea", "woman", "ohwx woman, two women at the sea"),
        ("at the sea", "woman", "ohwx woman, at the sea"),
        ("at the sea", "", "ohwx, at the sea"),
        ("", "woman", "ohwx woman"),
        ("  ", "", "ohwx"),
        ("OHWX at the sea", "woman", "OHWX at the sea"),
        ("ohwxy woman", "woman", "ohwxy ohwx woman"),
        ("一位女性在海边", "女性", "ohwx 女性, 一位女性在海边"),
    ],
)
def test_the_trigger_goes_before_its_class_noun_or_to_the_front_once(caption, class_noun, expected):
    once = insert_trigger(caption, "ohwx", class_noun)
    assert once == expected
    assert insert_trigger(once, "ohwx", class_noun) == once


def test_without_a_trigger_nothing_is_put_in():
    assert insert_trigger(" a woman ", " ", "woman") == "a woman"


@pytest.mark.parametrize(
    ("caption", "class_noun", "expected"),
    [
        ("ohwx woman, at the sea", "woman", "woman, at the sea"),
        ("photo of Ohwx at the sea", "woman", "photo of woman at the sea"),
        ("ohwx and ohwx  woman", "woman", "woman and woman"),
        ("a woman", "woman", "a woman"),
        ("ohwx at the sea", "", "at the sea"),
        (r"ohwx", r"a\1b", r"a\1b"),
    ],
)
def test_the_class_noun_takes_the_place_of_the_trigger(caption, class_noun, expected):
    assert replace_trigger(caption, "ohwx", class_noun) == expected


def test_what_was_put_in_is_taken_out_again():
    for caption in ("a woman at the sea", "at the sea"):
        named = insert_trigger(caption, "a+b (c)", "woman")
        assert has_word(named, "A+B (c)")
        assert not has_word(replace_trigger(named, "a+b (c)", "woman"), "a+b (c)")


def test_several_triggers_have_a_class_noun_each_or_one_for_all():
    pairs = (("ohwx", "woman"), ("zkw", "man"))
    assert trigger_pairs("ohwx, zkw", "woman,man") == pairs
    assert trigger_pairs("ohwx,zkw,", "person") == (("ohwx", "person"), ("zkw", "person"))
    assert class_caption("ohwx woman and zkw man", pairs) == "woman and man"
    assert class_caption("a zkwx man", pairs) is None
    with pytest.raises(SettingError, match=r"trigger names 2 words .* and class_noun 3"):
        trigger_pairs("ohwx, zkw", "a, b, c")
