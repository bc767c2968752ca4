#!/usr/bin/env bash
# From `git clone` to the first streamed token, as a newcomer has it, in a temporary folder.
set -euo pipefail
source=$(git rev-parse --show-toplevel)
place=$(mktemp -d)
trap 'rm -rf "$place"' EXIT
start=$(date +%s.%N)
passed() { python3 -c "import time; print(f'{time.time() - $start:6.1f} s  $1')"; }
git clone --quiet "$source" "$place/awaited"
cd "$place/awaited"
passed "cloned"
make --silent .venv/lab.done
passed "set up"
.venv/bin/python - <<'PY'
from helpers import blocking_client, model
stream = blocking_client().chat.completions.create(
    model=model(), messages=[{"role": "user", "content": "Why is the sky blue?"}], stream=True
)
print(next(c.choices[0].delta.content for c in stream if c.choices and c.choices[0].delta.content))
PY
passed "first token"
