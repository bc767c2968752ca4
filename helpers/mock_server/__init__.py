"""An OpenAI-compatible server for practice and for tests: `python -m helpers.mock_server`.

It is built in rooms. Each imports from those named behind it, and from no other:

    protocol    knows nothing
    content     knows protocol
    control     knows content, protocol
    delivery    knows control, protocol
    api         knows content, control, delivery, protocol

`protocol` is what all speak of: a call, its answer, the answer's pace, an error, a field. `content`
is what is said, by itself or by a script. `control` is what the server is set to and what it saw:
faults, limits, replies that wait, the journal, and `/mock`. `api` has the wire shapes, a module for
each family, and in `requests` what each may be asked. `delivery` is the way in, the way out and the
clock. The modules beside the rooms join them: `app` has the routes, `server` the socket, `__main__`
the command line, and `inside`, with `inner_loop`, the door where there are no sockets. Nothing here
imports the rest of `helpers`, which speaks to the server over HTTP alone.
"""

VERSION = "0.1.0"
