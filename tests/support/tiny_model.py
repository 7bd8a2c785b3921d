"""A tiny language model with weights set by hand, for tests against a real llama.cpp server.

It is a Llama of one layer whose attention and feed-forward parts are zero, so that the next token
depends on the last one alone: one-hot embeddings, and an output matrix that is a table of pairs.
Free text is "Okay.", a text in JSON is "word", a number 3, a yes/no true, a list is as short as it
may be. Its chat template knows tools; offered some by a person, it calls one (native tool calls).
"""

from itertools import pairwise
from pathlib import Path

import gguf
import numpy as np

TEXT = "Okay."
WORD = "word"
NUMBER = 3

_DIM = 288
_SPECIALS = [
    "<|im_start|>",
    "<|im_end|>",
    "<|gen_text|>",
    "<|gen_call|>",
    "<tool_call>",
    "</tool_call>",
]
_CONTROL, _NORMAL, _USER_DEFINED = 3, 1, 4

TEMPLATE = """\
{%- if tools %}
{{- '<|im_start|>system\\n' }}
{%- if messages[0].role == 'system' %}{{- messages[0].content + '\\n\\n' }}{%- endif %}
{{- '# Tools\\n\\nYou may call one or more functions to assist with the user query.\\n\\nYou are \
provided with function signatures within <tools></tools> XML tags:\\n<tools>' }}
{%- for tool in tools %}{{- '\\n' }}{{- tool | tojson }}{%- endfor %}
{{- '\\n</tools>\\n\\nFor each function call, return a json object with function name and arguments \
within <tool_call></tool_call> XML tags:\\n<tool_call>\\n{"name": <function-name>, "arguments": \
<args-json-object>}\\n</tool_call><|im_end|>\\n' }}
{%- elif messages[0].role == 'system' %}
{{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- for message in messages %}
{%- if message.role == 'user' or (message.role == 'system' and not loop.first) %}
{{- '<|im_start|>' + message.role + '\\n' + message.content + '<|im_end|>\\n' }}
{%- elif message.role == 'assistant' %}
{{- '<|im_start|>assistant\\n' }}
{%- if message.content %}{{- message.content }}{%- endif %}
{%- for call in message.tool_calls or [] %}
{{- '<tool_call>\\n{"name": "' + call.function.name + '", "arguments": ' }}
{{- call.function.arguments | tojson }}
{{- '}\\n</tool_call>' }}
{%- endfor %}
{{- '<|im_end|>\\n' }}
{%- elif message.role == 'tool' %}
{{- '<|im_start|>user\\n<tool_response>\\n' + message.content + '\\n</tool_response><|im_end|>\\n' }}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
{{- '<|im_start|>assistant\\n' }}
{%- if tools and messages[-1].role == 'user' %}{{- '<|gen_call|>' }}
{%- else %}{{- '<|gen_text|>' }}{%- endif %}
{%- endif %}
"""


def make_tiny_model(folder: Path, *, template: str = TEMPLATE) -> Path:
    """Write the model into a folder and return its path; about a fifth of a second."""
    path = folder / "tiny.gguf"
    alphabet = _byte_alphabet()
    # One pair that never occurs, because the format wants at least one merge.
    tokens = [*alphabet, alphabet[0] * 2, *_SPECIALS]
    kinds = [_NORMAL] * 257 + [_CONTROL] * 4 + [_USER_DEFINED] * 2
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_name("tiny")
    writer.add_context_length(8192)
    writer.add_embedding_length(_DIM)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(4)
    writer.add_head_count_kv(4)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_DIM // 4)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("gpt-2")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges([f"{alphabet[0]} {alphabet[0]}"])
    writer.add_bos_token_id(tokens.index("<|im_start|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    writer.add_add_bos_token(False)
    writer.add_chat_template(template)
    embedding = np.zeros((len(tokens), _DIM), np.float32)
    embedding[np.arange(len(tokens)), np.arange(len(tokens))] = 1.0
    zeros = np.zeros((_DIM, _DIM), np.float16)
    ones = np.ones(_DIM, np.float32)
    writer.add_tensor("token_embd.weight", embedding)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        writer.add_tensor(f"blk.0.{name}.weight", zeros)
    for name in ("ffn_gate", "ffn_up"):
        writer.add_tensor(f"blk.0.{name}.weight", np.zeros((32, _DIM), np.float16))
    writer.add_tensor("blk.0.ffn_down.weight", np.zeros((_DIM, 32), np.float16))
    writer.add_tensor("blk.0.attn_norm.weight", ones)
    writer.add_tensor("blk.0.ffn_norm.weight", ones)
    # The norm makes a one-hot vector longer by the root of its dimension.
    writer.add_tensor("output_norm.weight", ones / np.float32(np.sqrt(_DIM)))
    writer.add_tensor("output.weight", np.ascontiguousarray(_pairs(tokens).T))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _pairs(tokens: list[str]) -> np.ndarray:
    """How much each token (row) likes each next one (column)."""
    place = {token: index for index, token in enumerate(tokens)}
    table = np.zeros((_DIM, len(tokens)), np.float32)
    # A byte that nothing else decides: the lower, the likelier, so that nothing is a tie.
    table[:] = -10.0 - np.arange(len(tokens)) / 50.0
    blank, newline, tabulator = _symbol(" "), _symbol("\n"), _symbol("\t")
    table[:, [place[blank], place[newline], place[tabulator]]] = -25.0

    def like(first: str, second: str, liking: float) -> None:
        table[place[first], place[second]] = liking

    for first, second in pairwise(TEXT):
        like(first, second, 20.0)
    like("<|gen_text|>", TEXT[0], 20.0)
    like(TEXT[-1], "<|im_end|>", 20.0)
    like("<|gen_call|>", "<tool_call>", 20.0)
    like("<tool_call>", newline, 20.0)
    like("</tool_call>", "<|im_end|>", 20.0)
    for first, second in pairwise(WORD):
        like(first, second, 20.0)
    like(WORD[-1], '"', 20.0)
    like(WORD[-1], WORD[0], 10.0)
    for first in (blank, ":", ",", "[", "{", newline, "(", '"'):
        for liking, second in enumerate(f"n{NUMBER}t[{{", start=10):
            like(first, second, float(liking))
        like(first, '"', 16.0)
    like("[", "]", 17.0)
    like('"', '"', -30.0)
    like('"', WORD[0], 20.0)
    for first in ('"', "]", "}", "e", "l", *"0123456789"):
        for liking, second in enumerate(",]}", start=4):
            like(first, second, float(liking))
        like(first, "<|im_end|>", 8.0)
    # One call is enough: its end rather than a comma and a second one.
    like("}", newline, 4.5)
    like(newline, "</tool_call>", 5.0)
    like(newline, ",", 4.0)
    return table


def _symbol(character: str) -> str:
    return _byte_alphabet()[ord(character)]


def _byte_alphabet() -> list[str]:
    """The printable letter that stands for each byte in byte-level BPE."""
    printable = {*range(33, 127), *range(161, 173), *range(174, 256)}
    others = iter(range(256, 512))
    return [chr(byte) if byte in printable else chr(next(others)) for byte in range(256)]
