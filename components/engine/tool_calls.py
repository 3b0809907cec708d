"""How vLLM turns what a model writes into calls of tools: a parser for each family of models."""

# Those of the vLLM release that is installed with this project.
PARSERS = (
    "apertus",
    "cohere_command3",
    "cohere_command4",
    "deepseek_v3",
    "deepseek_v31",
    "deepseek_v32",
    "deepseek_v4",
    "deepseek_v41",
    "dots",
    "ernie45",
    "functiongemma",
    "gemma4",
    "gigachat3",
    "glm45",
    "glm47",
    "granite",
    "granite-20b-fc",
    "granite4",
    "hermes",
    "hf",
    "hunyuan_a13b",
    "hy_v3",
    "hy_v4",
    "inkling",
    "internlm",
    "jamba",
    "k2_horizon",
    "kimi_k2",
    "kimi_k3",
    "lfm2",
    "ling3",
    "llama3_json",
    "llama4_json",
    "llama4_pythonic",
    "longcat",
    "mimo",
    "minicpm5",
    "minimax_m2",
    "minimax_m3",
    "mistral",
    "muse_glimmer",
    "olmo3",
    "openai",
    "phi4_mini_json",
    "plamo3",
    "poolside_v1",
    "pythonic",
    "qwen3_coder",
    "qwen3_json",
    "qwen3_xml",
    "seed_oss",
    "step3",
    "step3p5",
    "xlam",
)


def known_parser(name: str) -> str:
    """Return the name of a parser of calls, or of none where it is empty.

    Raises:
        ValueError: vLLM has no such parser.
    """
    if name and name not in PARSERS:
        raise ValueError(f"wanted nothing or one of {', '.join(PARSERS)}")
    return name


def parser_options(name: str) -> list[str]:
    """Return the options of `vllm serve` with which clients can let a model choose tools."""
    return ["--enable-auto-tool-choice", f"--tool-call-parser={name}"] if name else []
