import pytest

from fer_tf import registry
from fer_tf.errors import UserError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("adam", ("adam", {})),
        ("adam()", ("adam", {})),
        ("sgd(momentum=0.9, nesterov=True)", ("sgd", {"momentum": 0.9, "nesterov": True})),
        ("vgg(depth=(1, 2), x=None, y=-1e-3)", ("vgg", {"depth": (1, 2), "x": None, "y": -1e-3})),
    ],
)  # fmt: skip
def test_parse(text, expected):
    assert registry.parse(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "", "a b", "3", "a.b()", "a(1)", "a(**{})", "a(x=b)", "a(x=__import__('os'))", "a(", "a\0",
        "a(x={[]: 1})", "a(x={{}})", "a(x=1, x=2)", f"a(x={'-' * 5000}1)", f"a(x={'(' * 5000}", f"a(x={'9' * 5000})",
        f"a(x={'[' * 150}{']' * 150})" * 2, "a(x='\ud800)",
    ],
)  # fmt: skip
def test_refuses_what_is_no_call_of_literals(text):
    with pytest.raises(UserError):
        registry.parse(text)


def test_render_is_read_back():
    keywords = {"a": 0.1, "b": (1, 2), "c": "it's", "d": None}
    assert registry.parse(registry.render("name", keywords)) == ("name", keywords)
    assert registry.render("name", {}) == "name"


def test_keywords_are_checked_against_the_signature():
    def op(*, size, p=0.5): ...

    registry.check_keywords(op, {"p": 1}, "augmentation", "op")
    with pytest.raises(UserError, match=r"augmentation 'op' takes no 'q'\. Accepted: size, p"):
        registry.check_keywords(op, {"q": 1}, "augmentation", "op")
