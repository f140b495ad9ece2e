"""One of PBS's commands: `client.py SOCKET COMMAND ARGUMENT...`. Asks the server and prints what it says.

Run as `python -I -S`, with nothing imported that is not built in: it starts in 15 ms, and a poll costs one.
"""

import _socket
import marshal
import os
import sys

QSUB = "a:A:c:C:e:fhIj:J:k:l:m:M:N:o:p:P:q:r:R:S:u:v:VW:Xz"
USAGE = """usage: qsub [-a date_time] [-A account_string] [-c interval]
	[-C directive_prefix] [-e path] [-f ] [-h ] [-I [-X]] [-j oe|eo] [-J X-Y[:Z]]
	[-k keep] [-l resource_list] [-m mail_options] [-M user_list]
	[-N jobname] [-o path] [-p priority] [-P project] [-q queue] [-r y|n]
	[-R o|e|oe] [-S path] [-u user_list] [-W otherattributes=value...]
	[-v variable_list] [-V ] [-z] [script | -- command [arg1 ...]]
       qsub --version
"""


def getopt(words, letters):
    """Options as (letter, value), what follows them, and the first letter that is none; as getopt(3) does it."""
    pairs = []
    words = list(words)
    while words and words[0].startswith("-") and words[0] != "-":
        word = words.pop(0)
        if word == "--":
            return pairs, ["--", *words], None
        at = 1
        while at < len(word):
            letter = word[at]
            at += 1
            where = letters.find(letter)
            if where < 0 or letter == ":":
                return pairs, words, letter
            if letters[where + 1 : where + 2] == ":":
                if at < len(word):
                    pairs.append((letter, word[at:]))
                elif words:
                    pairs.append((letter, words.pop(0)))
                else:
                    return pairs, words, letter
                break
            pairs.append((letter, ""))
    return pairs, words, None


def read_script(arguments):
    """The job script that `qsub` was given, as it is read: with the rights of who submits."""
    _, rest, bad = getopt(arguments, QSUB)
    if bad is not None or rest[:1] == ["--"]:
        return None, ""
    if not rest:
        return sys.stdin.buffer.read(), "STDIN"
    try:
        with open(rest[0], "rb") as file:
            return file.read(), rest[0].rpartition("/")[2]
    except OSError as error:
        sys.stderr.write(f"qsub: script file:: {error.strerror}\n")
        raise SystemExit(1) from None


def no_server(command, server):
    """Recorded in server_down.txt. The status is the error number's last byte, but for qstat's."""
    if command in ("qdel", "qsig"):
        words = f"Couldn't connect to cluster: {server}"
    else:
        words = f"{command}: cannot connect to server {server} (errno=15010)"
    sys.stderr.write(f"Connection refused\n{words}\n")
    raise SystemExit(255 if command in ("qstat", "qselect", "pbsnodes") else 162)


def ask(path, request):
    """Send one request, read one answer. Raises `OSError`."""
    link = _socket.socket(_socket.AF_UNIX, _socket.SOCK_STREAM)
    link.connect(path)
    link.sendall(marshal.dumps(request))
    link.shutdown(_socket.SHUT_WR)
    pieces = []
    while piece := link.recv(1 << 20):
        pieces.append(piece)
    if not pieces:
        raise ConnectionResetError("the server is gone")
    return marshal.loads(b"".join(pieces))


def main(path, server, command, arguments):
    if arguments == ["--version"]:
        sys.stdout.write("pbs_version = 23.06.06\n")
        raise SystemExit(0)
    script, title = None, ""
    if command == "qsub":
        script, title = read_script(arguments)
    environment = dict(os.environ)
    try:
        status, out, err = ask(path, (command, arguments, os.getcwd(), environment, script, title))
    except OSError:
        no_server(command, server)
    os.write(2, err.encode("utf-8", "surrogateescape"))
    data = out.encode("utf-8", "surrogateescape")
    while data:
        data = data[os.write(1, data) :]
    raise SystemExit(status)
