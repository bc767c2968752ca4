"""Many prompts from a file, answered on one machine, on a cluster, or by the Batch API.

`python -m helpers.many prompts.jsonl --to answers`: what lessons 05 and 13 come to, to take along.
Its modules, from the file to the answers:

    prompts     the file that is asked: its lines, its parts, what is wrong with a line
    answers     the folder that is written: a file for each part, which a broken run resumes
    asking      one process that asks: a client, a bound, a rate, and when to try again
    here        the parts on this machine
    cluster     the parts on the workers of a dask cluster
    batch       the same lines through the Batch API
    progress    what is told meanwhile and at the end
    __main__    the command line

docs/many.md says what it promises and where its limits are.
"""

from helpers.many.answers import rows as rows
