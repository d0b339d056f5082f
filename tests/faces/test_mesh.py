import numpy as np

from fer_tf.faces import mesh


def grid(rows, columns, width, height):
    x, y = np.meshgrid(np.linspace(0, width, columns), np.linspace(0, height, rows))
    return np.stack([x, y], axis=-1)


def test_values_vary_as_planes_between_the_corners():
    points = grid(3, 4, 12, 8) + np.array((2, 1))
    values = np.stack([points[..., 0] * 3, points[..., 1] - points[..., 0]], axis=-1)
    out, inside = mesh.fill(points, np.zeros((3, 4)), values, (11, 17))
    expected = np.zeros((11, 17), bool)
    expected[1:9, 2:14] = True
    np.testing.assert_array_equal(inside, expected)
    y, x = np.nonzero(expected)
    np.testing.assert_allclose(out[expected], np.stack([(x + 0.5) * 3, y - x], axis=1), atol=1e-4)
    assert not out[~expected].any()


def test_a_fold_shows_its_nearer_side():
    # Three columns: out to x = 10 and back to 4; the way back is the nearer.
    x = np.tile([0.0, 10, 4], (2, 1))
    points = np.stack([x, np.array([[0.0] * 3, [6.0] * 3])], axis=-1)
    values = np.tile([[0.0], [1], [2]], (2, 1, 1))
    depth = np.tile([0.0, 0, 5], (2, 1))
    out, inside = mesh.fill(points, depth, values, (6, 12))
    assert inside[:, :10].all() and not inside[:, 10:].any()
    assert (out[:, 5:10, 0] > 1).all() and (out[:, :4, 0] < 1).all()
    out, _ = mesh.fill(points, -depth, values, (6, 12))
    assert (out[:, :10, 0] < 1).all()


def test_what_lies_outside_the_picture_is_left_out():
    out, inside = mesh.fill(grid(2, 2, 100, 100) - 50, np.zeros((2, 2)), np.ones((2, 2, 1)), (7, 9))
    assert inside.all() and np.allclose(out, 1)
    _, inside = mesh.fill(grid(2, 2, 5, 5) + 50, np.zeros((2, 2)), np.ones((2, 2, 1)), (7, 9))
    assert not inside.any()


def test_groups_do_not_change_the_picture(monkeypatch):
    rng = np.random.default_rng(0)
    points, depth = grid(6, 6, 40, 30) + rng.normal(0, 2, (6, 6, 2)), rng.random((6, 6))
    values = rng.random((6, 6, 2))
    whole = mesh.fill(points, depth, values, (32, 42))
    monkeypatch.setattr(mesh, "GROUP_PIXELS", 1)
    for a, b in zip(whole, mesh.fill(points, depth, values, (32, 42)), strict=True):
        np.testing.assert_array_equal(a, b)
