"""The forms that a row may have, and how each becomes a conversation.

Fields are told by their names, in small or capital letters; `columns` says it where the names do not.

| what | fields |
|---|---|
| turns | `messages`, `conversations`, `conversation`; in a turn `role` or `from`, `content` or `value` |
| question | `instruction`, `prompt`, `question`, `query`; `input` where there is none of these |
| beside it | `input`, `context`: a paragraph of its own; `history`: earlier pairs or turns |
| answer | `output`, `completion`, `answer`, `response` |
| around | `system`, `system_prompt`; `tools`, `functions`; `reasoning_content`, `reasoning`, `thinking` |
| wanted or not | `label`, `kto_tag` (true or false); `chosen`, `rejected` |
| to be said by `columns` | `passage`, `paragraph`, `document(s)`, `article`, `story`, `choices`, `options` |
| refused | `image(s)`, `audio(s)`, `video(s)`: only text can be trained on |

Null, an empty text and an empty list are no value, at every depth. A list may be kept as JSON text. Numbers,
true and false are texts as JSON spells them; an object is none. Fields that would mean the same thing have to
say the same, else the row is refused: nothing is guessed. Any other field is counted as not used.

A question and what stands around it lose the white space around them; an answer keeps what leads it, which
indents code, and loses what trails it. `<think>...</think>` at the head of an answer is its reasoning.

A call is `tool_calls`, `function_call`, a turn of the role `function_call`, or, where a tool's turn follows,
`<tool_call>{...}</tool_call>` at the end of the assistant's text.

`weight: 0` (or `train` or `loss: false`) on an assistant's turn: it is part of the conversation and not
learned. What stands behind the last answer that is learned would teach nothing and could not be evaluated: it
is left out, and counted. A row whose `label` is false, or of which no answer may be learned, is set aside.
"""
