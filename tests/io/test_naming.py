import pytest

from fer_tf.io.folders import assign, face_name


@pytest.mark.parametrize(
    ("sources", "several", "names"),
    [
        (["a/b.jpg", "c.png"], False, ["a/b", "c"]),
        (["a.jpg", "a.png"], False, ["a", "a.png"]),
        (["A.jpg", "a.png"], False, ["A", "a.png"]),
        (["a.jpg", "a.jpg.png", "a.png"], False, ["a", "a.jpg", "a.png"]),
        (["a.b.jpg", "a.png", "a.png.jpg"], False, ["a.b", "a", "a.png"]),
        (["a.jpg", "a.png", "a.png.jpg"], False, ["a", "a.png", "a.png.jpg"]),
        # Only where a photograph may have several faces is a_1 in the way of a's second.
        (["a.jpg", "a_1.jpg"], False, ["a", "a_1"]),
        (["a.jpg", "a_1.jpg"], True, ["a", "a_1.jpg"]),
        (["a_1.jpg", "a.jpg"], True, ["a_1", "a.jpg"]),
        (["x/a.jpg", "a_1.jpg"], True, ["x/a", "a_1"]),
        # A video at the top takes a folder, one in a folder its frames' names.
        (["film.mp4", "film/x.jpg"], False, ["film.mp4", "film/x"]),
        (["happy/film.mp4", "happy/film_000001.jpg"], False, ["happy/film", "happy/film_000001.jpg"]),
        (["a.png.jpg", "a.png/x.jpg"], False, ["a.png.jpg", "a.png/x"]),
        (["é.jpg", "e\u0301.jpg"], False, ["é", "e\u0301.jpg"]),
    ],
)
def test_no_two_sources_share_a_name(sources, several, names):
    assert list(assign(sources, {}, several).values()) == names


def test_names_of_an_earlier_run_stay():
    assert assign(["a.jpg", "a.png"], {"a.png": "a"}, False) == {"a.jpg": "a.jpg", "a.png": "a"}


def test_names_going_on_equal_those_of_one_run():
    sources = sorted(["a.gif", "a.jpg", "a.png", "a_1.png", "A.bmp", "a_1.gif", "b.jpg"])
    whole = assign(sources, {}, True)
    for done in range(len(sources)):
        known = {source: whole[source] for source in sources[:done]}
        assert assign(sources, known, True) == whole


def test_long_names_leave_room_for_what_is_added():
    sources = ["d/" + "ü" * 120 + "1.jpg", "d/" + "ü" * 120 + "2.jpg"]
    names = list(assign(sources, {}, True).values())
    assert len(set(names)) == 2
    assert all(name.startswith("d/üüü") and len(name.encode()) < 200 for name in names)


def test_faces_and_frames_are_numbered():
    assert face_name("a/b", None, 0, True) == "a/b"
    assert face_name("a/b", None, 2, True) == "a/b_2"
    assert face_name("film", 123, 0, False) == "film/000123"
    assert face_name("happy/film", 123, 1, True) == "happy/film_000123_1"
