"""How long a message waited, whatever the clocks at both ends say."""

import pytest

from brubeckservice.queueing_delay import QueueingDelay

DAY = 24 * 60 * 60.0


@pytest.mark.parametrize("difference", [-DAY, 0.0, DAY])
def test_a_message_that_nothing_held_up_waited_no_time(difference: float) -> None:
    delay = QueueingDelay(difference)

    assert delay.of(5.0, 5.0 + difference) == 0
    assert delay.of(9.0, 9.0 + difference) == 0


def test_a_message_that_is_read_late_waited() -> None:
    delay = QueueingDelay(100.0)

    assert delay.of(1.0, 111.0) == pytest.approx(10, abs=0.1)
    assert delay.of(2.0, 111.0) == pytest.approx(9, abs=0.1)
    assert delay.of(11.0, 111.0) == 0


def test_a_greeting_that_was_held_up_is_corrected_by_the_next_message() -> None:
    delay = QueueingDelay(103.0)

    assert delay.of(4.0, 104.0) == 0
    assert delay.of(5.0, 107.0) == pytest.approx(2, abs=0.1)


@pytest.mark.parametrize("rate", [0.9995, 1.0005])
def test_clocks_that_go_at_different_rates_are_not_taken_for_a_delay(rate: float) -> None:
    delay = QueueingDelay(0.0)

    waited = [delay.of(float(sent), sent * rate) for sent in range(int(DAY))]

    assert max(waited) < 0.01


def test_a_day_without_a_word_is_not_taken_for_a_delay() -> None:
    delay = QueueingDelay(0.0)

    assert delay.of(DAY, DAY + 5.0) == 0
