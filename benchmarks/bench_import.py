"""What it costs to import mbxai and to make the first client, in processor time.

python benchmarks/bench_import.py
"""

import os
import subprocess
import sys

ROUNDS = 9

CASES = {
    "python": "pass",
    "import httpx": "import httpx",
    "import mbxai": "import mbxai",
    "from mbxai import MBXAIError": "from mbxai import MBXAIError",
    "from mbxai import OpenRouterClient": "from mbxai import OpenRouterClient",
    "OpenRouterClient()": "from mbxai import OpenRouterClient; OpenRouterClient()",
    "AgentClient(ToolClient(OpenRouterClient()))": (
        "from mbxai import AgentClient, OpenRouterClient, ToolClient; "
        "AgentClient(ToolClient(OpenRouterClient()))"
    ),
}


def processor_ms(statement: str) -> float:
    code = f"import time; {statement}; print(time.process_time() * 1000)"
    environment = {**os.environ, "OPENROUTER_API_KEY": "sk-or-benchmark"}
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env=environment
    )
    return float(shown.stdout.split()[-1])


def modules(statement: str) -> int:
    code = f"import sys; {statement}; print(len(sys.modules))"
    environment = {**os.environ, "OPENROUTER_API_KEY": "sk-or-benchmark"}
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, env=environment
    )
    return int(shown.stdout.split()[-1])


def main() -> None:
    best = dict.fromkeys(CASES, float("inf"))
    for _ in range(ROUNDS):  # in turns, so that a busy moment does not hit one case alone
        for name, statement in CASES.items():
            best[name] = min(best[name], processor_ms(statement))
    bare, few = best["python"], modules("pass")
    print("| statement | CPU ms above bare Python | modules above bare Python |")
    print("|---|---|---|")
    for name, statement in CASES.items():
        if name != "python":
            print(f"| `{name}` | {best[name] - bare:.0f} | {modules(statement) - few} |")


if __name__ == "__main__":
    main()
