"""The figures of the closing table, from result lines."""

from typing import Any

from demo.figures import Sample, figures, label_of, percentile, rows


def result(output: str | None, label: str, *, queued: float = 0.0, ran: float = 1.0, **changed: Any) -> dict[str, Any]:
    line = {
        "status": "completed" if output is not None else "failed",
        "output": output,
        "attempts": 1,
        "usage": {"input_tokens": 100, "output_tokens": 2},
        "queue_seconds": queued,
        "run_seconds": ran,
        "metadata": {"label": label},
    }
    return {**line, **changed}


def test_wall_time_ends_with_the_last_answer() -> None:
    found = figures([result("positive", "positive", queued=5, ran=1), result("negative", "negative", queued=1, ran=3)])
    assert found.wall_seconds == 6
    assert found.tasks_per_second == 2 / 6


def test_an_answer_is_right_when_it_is_the_label_whatever_its_case_and_full_stop() -> None:
    answers = [result(" Positive.", "positive"), result("positive", "negative"), result("good", "positive")]
    assert [label_of(line) for line in answers] == ["positive", "positive", None]
    found = figures(answers)
    assert (found.right, found.tasks) == (1, 3)
    assert found.most_common == 2


def test_a_failed_task_has_no_label_and_no_part_in_the_throughput() -> None:
    failed = result(None, "positive", queued=50, run_seconds=None, usage=None, attempts=3)
    found = figures([failed, result("positive", "positive", queued=0, ran=2)])
    assert (found.completed, found.failed, found.retries, found.right) == (1, 1, 2, 1)
    assert found.tasks_per_second == 0.5
    assert found.tokens_in == 100


def test_percentiles_are_values_that_occurred() -> None:
    values = [float(number) for number in range(1, 101)]
    assert (percentile(values, 0.5), percentile(values, 0.95), percentile([7.0], 0.5)) == (50, 95, 7)
    assert percentile([], 0.5) == 0


def test_the_table_compares_with_one_call_after_another_and_with_chance() -> None:
    found = figures([result("positive", label, queued=0.25, ran=0.25) for label in ("positive", "negative")])
    table = {what: (much, remark) for what, much, remark in rows(found, Sample(10, 5.0), [0, 4, 0])}
    assert table["workers"][0] == "0 → 4 → 0"
    assert table["throughput"][0] == "4.0 tasks/s"
    assert table["one after another"][0] == "2.0 tasks/s"
    assert "2.0 times" in table["one after another"][1]
    assert table["accuracy"][0] == "50.0%"
    assert "1 of 2" in table["accuracy"][1]
    assert "one after another" not in {what for what, _, _ in rows(found, None, [0])}
