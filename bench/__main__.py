"""`python -m bench`: all measurements, one after another. Nothing is asserted; figures are printed.

Each stands alone too, such as `python -m bench.scaling`, and says what it compares. How long a
newcomer waits is `bench/first_token.sh`.
"""

from bench import chunks, engine, imports, instruments, killed, many, scaling, server, server_start

for part in (imports, server_start, instruments, chunks, scaling, many, engine, killed, server):
    print(f"\n== {part.__name__}: {(part.__doc__ or '').splitlines()[0]}\n", flush=True)
    part.main()
