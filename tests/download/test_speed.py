from __future__ import annotations

from nodeinit.download.speed import WINDOW, Samples, Speed, speed


def test_the_rate_is_the_mean_and_the_rest_takes_as_long() -> None:
    assert speed([], 100) == Speed(0.0, None)
    assert speed([(5.0, 10)], 100) == Speed(0.0, None)
    assert speed([(5.0, 10), (7.0, 10)], 100) == Speed(0.0, None)
    assert speed([(5.0, 10), (6.0, 11), (7.0, 30)], 100) == Speed(10.0, 7.0)
    assert speed([(5.0, 10), (7.0, 100)], 100) == Speed(45.0, 0.0)
    assert speed([(5.0, 0)], 0) == Speed(0.0, 0.0)


def test_only_the_last_seconds_count() -> None:
    samples = Samples()
    for second in range(100):
        samples.add(float(second), second * 10 if second < 50 else 490 + (second - 49) * 2, "fetch")
    assert samples.speed(1000) == Speed(2.0, (1000 - 590) / 2)
    samples.add(99.0 + 3 * WINDOW, 590, "fetch")
    samples.add(99.0 + 4 * WINDOW, 590, "fetch")
    assert samples.speed(1000).rate == 0.0
    samples.add(200.0, 0, "verify")
    assert samples.speed(1000) == Speed()
    samples.add(201.0, 50, "verify")
    samples.add(202.0, 10, "verify")
    assert samples.speed(1000) == Speed()
