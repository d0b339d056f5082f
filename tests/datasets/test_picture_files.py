import time

import numpy as np
import pytest

from fer_tf.datasets.folder import read_pictures
from fer_tf.errors import DataError, RowErrors


def test_a_missing_picture_is_named_with_its_row(tmp_path):
    with pytest.raises(DataError, match=r"^row 1: no such picture: .*gone\.png\. Expected a picture\.$"):
        read_pictures([tmp_path / "gone.png"], ["row 1"], 48, 1, RowErrors(skip_bad=False))


def test_many_pictures_come_in_order_and_from_the_cache(tmp_path, picture, cache_folder):
    pixels = np.stack([picture(tmp_path / f"{i}.png") for i in range(5)])
    (tmp_path / "2.png").write_text("no picture")
    paths = [tmp_path / f"{i}.png" for i in range(5)] + [tmp_path / "gone.png"]
    places = [f"place {i}" for i in range(6)]
    time.sleep(0.15)
    row_errors = RowErrors(skip_bad=True)
    with pytest.raises(DataError, match="place 2: no picture"):
        read_pictures(paths[:5], places[:5], 48, 1, RowErrors(skip_bad=False))
    images, kept = read_pictures(paths, places, 48, 1, row_errors)
    assert kept.tolist() == [0, 1, 3, 4]
    np.testing.assert_array_equal(images[..., 0], pixels[[0, 1, 3, 4]])
    assert [line.split(": ")[0] for line in row_errors.lines] == ["place 5", "place 2"]
    entries = {p: p.stat().st_ino for p in cache_folder.iterdir()}
    again, _ = read_pictures(paths, places, 48, 1, RowErrors(skip_bad=True))
    np.testing.assert_array_equal(again, images)
    assert entries and entries == {p: p.stat().st_ino for p in cache_folder.iterdir()}  # and no new one
    with pytest.raises(DataError, match="place 5: no such picture"):
        read_pictures(paths, places, 48, 1, RowErrors(skip_bad=False))
    with pytest.raises(DataError, match="place 2: no picture"):  # remembered, yet no less an error
        read_pictures(paths[:5], places[:5], 48, 1, RowErrors(skip_bad=False))
