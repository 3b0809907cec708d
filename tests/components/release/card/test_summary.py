from components.release.card.summary import summary_lines

from . import samples


def test_every_check_is_a_line_and_the_columns_line_up():
    lines = summary_lines(samples.refused_at_service())
    assert lines[0] == "REFUSED: Refused at the service gate: of 6 checks, 1 failed."
    assert lines[1].startswith("  - killed recovery failed: 287 s, limit ≤ 240 s; from the kill")
    checks = lines[2:]
    assert len(checks) == 13
    assert len({len(line.rsplit("  ", 1)[0]) for line in checks}) == 1
    (failed,) = [line for line in checks if line.endswith("failed")]
    assert failed.split() == ["✕", "service", "killed", "recovery", "287", "s", "≤", "240", "s", "failed"]


def test_a_release_that_failed_before_any_check_has_its_reason():
    lines = summary_lines([samples.failed_in_finetune()[1]])
    assert lines[0] == "FAILED: finetune failed: this machine: 2 problems"
    assert lines[1].startswith("  - learning_rate: ") and lines[2].startswith("  - memory: ")
    assert len(lines) == 3
