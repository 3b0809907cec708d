"""How much there is to render of rows, and batches of them of which it is no more than is at hand at once."""

from collections.abc import Iterator, Sequence

from components.conversations import Conversation

BATCH_ROWS, BATCH_WORK = 1000, 1 << 23
MOST_WORK, TURN_WORK = 1 << 26, 100  # what a turn costs beside its text


def work_batches(rows: Sequence[Conversation]) -> Iterator[tuple[list[Conversation], list[int]]]:
    """Yield rows in batches, each with about how many characters are rendered for each of its rows."""
    batch: list[Conversation] = []
    sizes: list[int] = []
    total = 0
    for row in rows:
        size = _work(row)
        if batch and (len(batch) == BATCH_ROWS or total + size > BATCH_WORK):
            yield batch, sizes
            batch, sizes, total = [], [], 0
        batch.append(row)
        sizes.append(size)
        total += size
    if batch:
        yield batch, sizes


def has_calls(row: Conversation) -> bool:
    """Tell whether the assistant calls a tool in a row."""
    return any(message.tool_calls for message in row.messages)


def _work(row: Conversation) -> int:
    """Return about how many characters are rendered for a row: all of it, up to each of its answers."""
    size = 0
    for message in row.messages:
        size += TURN_WORK + len(message.content) + len(message.reasoning)
        for call in message.tool_calls:
            size += len(str(call.arguments))
    for tool in row.tools:
        size += len(str(tool))
    return len(row.messages) * size
