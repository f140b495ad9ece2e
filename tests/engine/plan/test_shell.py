"""Command lines with placeholders, run by real shells: a value arrives to the byte and is never read as code."""

# One case, one line: the tables are read down.
# ruff: noqa: E501

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from spawn_tui.engine.plan.shell import Script, ShellProblem, Words, compile_argv, compile_line
from spawn_tui.engine.plan.template import pieces_of

SHELLS = [path for name in ("dash", "bash", "busybox") if (path := shutil.which(name))]
BUSYBOX = [path for path in SHELLS if path.endswith("busybox")]

NASTY = [
    "", " ", "a b", "x; touch HERE", "$(touch HERE)", "`touch HERE`", "' ; touch HERE; '", '" ; touch HERE; "', "it's", 'q"q',
    "\\", "a\\", "\\n", "$HOME", "${1}", "*", "?", "[a-z]", "~", "#x", "a\nb", "\n", "a\n", "ünï 日本 🎉", "-n", "-e", "--", "[1, 2]",
    "{a,b}", "a&b", "a|b", ">x", "<x", "!x", "%s", "\t", "a\r", "=", "A=b", "\x01\x7f", "&& touch HERE", "\\'", '\\"', "$$", "{lr}",
]  # fmt: skip


def compiled(template: str) -> Words | Script:
    return compile_line(pieces_of(template, ()))


def argv_for(
    made: Words | Script, values: dict[str, str], extra: tuple[str, ...] = (), shell: str = "sh"
) -> list[str]:
    if isinstance(made, Words):
        return [
            "".join(p if isinstance(p, str) else values[p.name] for p in word) for word in made.words
        ] + list(extra)
    words = [made.text(len(extra)), "sh", *[values[name] for name in made.names], *extra]
    return [shell, *(["sh"] if shell in BUSYBOX else []), "-c", *words]


def run(
    made: Words | Script,
    values: dict[str, str],
    extra: tuple[str, ...] = (),
    shell: str = "sh",
    cwd: Path | None = None,
) -> str:
    env = {**os.environ, "PATH": os.environ["PATH"]}
    done = subprocess.run(
        argv_for(made, values, extra, shell), capture_output=True, cwd=cwd, env=env, timeout=20
    )
    assert done.stderr == b"", (argv_for(made, values, extra, shell), done.stderr)
    return done.stdout.decode()


# Each place a placeholder can stand in, and the text that a value must become there.
PLACES = [
    ("{x}", "{x}"), ("--n={x}.txt", "--n={x}.txt"), ("{x}{y}", "{x}{y}"), ('"a {x} b"', "a {x} b"), ("'a {x} b'", "a {x} b"),
    ("a'{x}'\"{y}\"b", "a{x}{y}b"), ("'\"{x}\"'", '"{x}"'), ("\"'{x}'\"", "'{x}'"), ('"\\{x}"', "\\{x}"), ("'\\{x}'", "\\{x}"),
    ('"\\\\{x}"', "\\{x}"), ('"\\"{x}\\""', '"{x}"'), ("\\'{x}\\'", "'{x}'"), ('"$(printf %s {x})"', "{x}"),
    ('"$(printf %s "{x}")"', "{x}"), ("\"$(printf %s '{x}')\"", "{x}"), ('"$(printf %s "$(printf %s {x})")"', "{x}"),
    ('"${HOME:+({x})}"', None), ("a#{x}", "a#{x}"), ("\\\\{x}", "\\{x}"), ("\\{x}", None), ("{{x}}{x}", "{{x}}{x}"),
    ('"`:`"{x}', "{x}"), ('"$((1 + (2 * 3)))"{x}', "7{x}"), ("${NONE:-}{x}", "{x}"), ('"${NONE:-"}"}"{x}', "}}{x}"), ("''{x}\"\"", "{x}"),
]  # fmt: skip
PLACES = [(template, expected) for template, expected in PLACES if expected is not None]


@pytest.mark.parametrize("shell", SHELLS, ids=os.path.basename)
@pytest.mark.parametrize(
    "before",
    ["", ":; ", "cd . && ", "# it's {x} \"\n", "if :; then :; fi; ", "(cd .; :); ", "f() { :; }; f; "],
)
def test_every_value_arrives_in_every_place(shell: str, before: str, tmp_path: Path):
    values = {"x": "", "y": ""}
    words: list[str] = []
    expected: list[str] = []
    for n, value in enumerate(NASTY):
        values |= {f"x{n}": value, f"y{n}": f"<{value}>"}
        for place, text in PLACES:
            words.append(place.replace("{x}", f"{{x{n}}}").replace("{y}", f"{{y{n}}}"))
            marked = (
                text.replace("{{x}}", "\ue001")
                .replace("}}", "}")
                .replace("{x}", "\ue002")
                .replace("{y}", f"<{value}>")
            )
            # `$(…)` takes the line breaks at the end away.
            arrived = value.rstrip("\n") if place.startswith('"$(printf') else value
            expected.append(marked.replace("\ue001", f"{{x{n}}}").replace("\ue002", arrived))
    made = compiled(f"{before}printf '%s\\0' " + " ".join(words))
    assert isinstance(made, Script)
    assert run(made, values, shell=shell, cwd=tmp_path).split("\0")[:-1] == expected
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", NASTY, ids=ascii)
def test_plain_commands_need_no_shell(value: str, tmp_path: Path):
    made = compiled("printf '%s\\0' {x} --n={x}.txt \"a {x}\" '{x}'")
    assert isinstance(made, Words)
    assert run(made, {"x": value}, cwd=tmp_path).split("\0")[:-1] == [
        value,
        f"--n={value}.txt",
        f"a {value}",
        value,
    ]
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    "template",
    ["a; b", "a | b", "a && b", "a > b", "a $HOME", "a *.txt", "a ~", "A=1 b", "cd x", "a `b`", "a # b", "a \\b", "a\nb", "a {b,c}",
     "exec a", "! a", "a $(b)", 'a "$b"', "a ?", "a [b]", "{ a; }", "if a", ". x", "a 'b' \"c`d`\"", "export A"],
)  # fmt: skip
def test_what_a_shell_would_understand_gets_one(template: str):
    if template == "if a":
        template = "if a; then b; fi"
    assert isinstance(compiled(template), Script)


@pytest.mark.parametrize(
    "template", ["a", "a b=c", "a '$x' '*'", 'a "b c"', "a --x=y,z:1 @b %c ^d +e", "./a-b_c /d", "a ''"]
)
def test_what_it_would_not_gets_none(template: str):
    assert isinstance(compiled(template), Words)


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("echo `cat {x}`", "{x} cannot stand inside backquotes"),
        ('echo "`cat {x}`"', "inside backquotes"),
        ("echo $((1 + {x}))", "inside `$((…))`"),
        ('echo "${A:-{x}}"', "inside `${…}`"),
        ("echo ${A:-'{x}'}", "inside `${…}`"),
        ("cat <<E\n{x}\nE", "in or after a here-document"),
        ("cat <<-'E'\nit's\nE\necho {x}", "in or after a here-document"),
        ("cat <<{x}\n", "cannot be the delimiter"),
        ("echo $'a\\'b' {x}", "after `$'…'`"),
        ('echo "${A:-\'}" {x}', "after a single quote inside"),
        ("echo $(case a in a) echo;; esac) {x}", "after `case` inside `$(…)`"),
        ("echo $((1 + ')')) {x}", "after quotes inside `$((…))`"),
        ("eval echo {x}", "read as code by `eval`"),
        ('A=1 eval "echo {x}"', "read as code by `eval`"),
        ("if :; then eval {x}; fi", "read as code by `eval`"),
        ("sh -c 'echo {x}'", "stands in a script for `sh`"),
        ('cd x && /bin/bash -euo pipefail -c "echo {x}"', "stands in a script for `bash`"),
        ("timeout 5 env A=1 dash -xc {x}", "stands in a script for `dash`"),
        ("bash 2>&1 -c 'echo {x}'", "stands in a script for `bash`"),
        ("bash 2> log >>x -c 'echo {x}'", "stands in a script for `bash`"),
        ("cat y | sudo bash 2>/dev/null -c 'echo {x}'", "stands in a script for `bash`"),
        ("su me -c 'echo {x}'", "stands in a script for `su`"),
        ('flock f -c "echo {x}"', "stands in a script for `flock`"),
        ('echo "a', "has a double quote that is never closed"),
        ("echo 'a", "has a single quote that is never closed"),
        ("echo `a", "has a backquote that is never closed"),
        ("(echo {x}", "has a `(` that is never closed"),
        ("echo $(a {x}", "has a `$(` that is never closed"),
        ("echo ${a", "has a `${` that is never closed"),
    ],
)
def test_where_a_value_would_be_code_it_is_refused_in_words(template: str, reason: str):
    with pytest.raises(ShellProblem) as problem:
        compiled(template)
    assert reason in str(problem.value)
    if "never closed" not in reason and "delimiter" not in reason:
        assert "$PARAM_x" in str(problem.value)


@pytest.mark.parametrize(
    ("placeholder", "advice"),
    [
        ("task_dir", 'write "$SWEEP_TASK_DIR"'), ("task", 'write "$SWEEP_TASK"'), ("index", 'write "$SWEEP_INDEX"'),
        ("sweep_id", 'write "$SWEEP_ID"'), ("attempt", 'write "$SWEEP_ATTEMPT"'), ("params_file", 'write "$SWEEP_PARAMS_FILE"'),
        ("lr", 'write "$PARAM_lr"'), ("opt.lr", 'write "$PARAM_opt_lr"'), ("a-b", 'add `env: {MY_A_B: "{a-b}"}`, '),
        ("name", 'add `env: {MY_NAME: "{name}"}`, '),
    ],
)  # fmt: skip
@pytest.mark.parametrize("template", ["echo `date {}`", "sh -c 'echo {}'", "cd y && su me -c 'echo {}'"])
def test_the_advice_names_the_right_variable(template: str, placeholder: str, advice: str):
    with pytest.raises(ShellProblem) as problem:
        compile_line(pieces_of(template.replace("{}", f"{{{placeholder}}}"), ("lr", "opt.lr", "a-b", "a_b")))
    assert advice in problem.value.remedy
    assert ("drop the `sh -c '…'` around it" in problem.value.remedy) == template.startswith("sh")


def test_a_parameter_with_the_name_of_our_own_placeholder_has_its_own_variable():
    with pytest.raises(ShellProblem, match=r'"\$PARAM_name"'):
        compile_line(pieces_of("echo `date {name}`", ("name",)))


@pytest.mark.parametrize(
    ("template", "dropped"),
    [
        ("sh -c 'a {x}'", "sh -c"), ('/bin/bash -eu -c "a $HOME {x}"', "/bin/bash -eu -c"), ("sh -c {x}", "sh -c"),
        ("sh -c 'a {x}' | cat", ""), ("sh -c 'a {x}' y", ""), ("su me -c 'a {x}'", ""),
    ],
)  # fmt: skip
def test_a_needless_shell_is_told_to_go(template: str, dropped: str):
    with pytest.raises(ShellProblem) as problem:
        compiled(template)
    assert problem.value.remedy.startswith(
        f"drop the `{dropped} '…'` around it, since" if dropped else "put that"
    )


@pytest.mark.parametrize(
    "words",
    [
        ["bash", "-c", "echo {x}"],
        ["/bin/sh", "-lc", "{x}"],
        ["env", "zsh", "-o", "errexit", "-c", "a{x}"],
        ["su", "u", "-c", "{x}"],
    ],
)
def test_words_for_a_shell_are_refused(words: list[str]):
    with pytest.raises(ShellProblem, match="which would read its value as code"):
        compile_argv([pieces_of(word, ()) for word in words])


@pytest.mark.parametrize(
    "words",
    [["bash", "-c", 'echo "$1"', "sh", "{x}"], ["bash", "run.sh", "-c", "{x}"], ["python", "-c", "print()", "{x}"], ["sh", "{x}"],
     ["bash", "-c", "echo $PARAM_x"], ["grep", "-c", "{x}"]],
)  # fmt: skip
def test_words_that_only_look_like_it_are_fine(words: list[str]):
    assert compile_argv([pieces_of(word, ()) for word in words]).words


@pytest.mark.parametrize(
    "template",
    ["bash -c 'echo $1' sh {x}", "cd y; bash run.sh -c {x}", "grep eval {x} | cat", "cat <<E > {x}\nE"],
)
def test_command_lines_that_only_look_like_it_are_fine(template: str):
    assert compiled(template)


@pytest.mark.parametrize("shell", SHELLS, ids=os.path.basename)
@pytest.mark.parametrize(
    ("template", "output"),
    [
        ("f() { printf '[%s]' \"$1\" {x}; }; f arg; printf '[%s]' {y}", "[arg][X Y][it's]"),
        ("f() { printf '[%s]' {x}; }; f arg", "[X Y]"),
        ("g () { shift; printf '[%s]' {x}; }; g arg", "[X Y]"),
        ("set -- a b; printf '[%s]' \"$1\" {x} \"$#\"", "[a][X Y][2]"),
        ("printf '[%s]' \"$#\" \"$@\" {x}", "[0][X Y]"),
        ("for i in 1 2; do printf '[%s]' $i {x}; done", "[1][X Y][2][X Y]"),
        ("case {x} in 'X Y') printf yes;; *) printf no;; esac", "yes"),
        ("case {x} in ({y}) printf no;; esac; printf '%s' {y}", "it's"),
        ("X={x}; printf '%s' \"$X\"", "X Y"),
        ("A={x} sh -c 'printf %s \"$A\"'", "X Y"),
        ("printf '%s\n' {x} | { read -r line; printf '%s|%s' \"$line\" {y}; }", "X Y|it's"),
        ("cat <<E\nit's $((1+1))\nE", "it's 2\n"),
        ("printf '%s' \\{x}", "{x}"),
        ("printf '%s' a # {x} it's", "a"),
        ("test {x} = 'X Y' && printf ok", "ok"),
        ("printf '%s' \"$(cat <<'E'\n$x\nE\n)\"", "$x"),
        ("printf '%s' {a}{b}{c}{d}{e}{f}{g}{h}{i}{j}{k}", "abcdefghijk"),
    ],
)  # fmt: skip
def test_scripts_do_what_they_say(shell: str, template: str, output: str):
    values = {name: name for name in "abcdefghijk"} | {"x": "X Y", "y": "it's"}
    made = compiled(template)
    if isinstance(made, Words):
        assert run(made, values) == output
    else:
        assert run(made, values, shell=shell) == output


@pytest.mark.parametrize(
    "template",
    [
        "printf '[%s]' {x}",
        "cd . && printf '[%s]' {x}",
        "f() { :; }; f; printf '[%s]' {x}",
        "A=1; printf '[%s]' {x}\n",
    ],
)
def test_words_are_added_at_the_end(template: str):
    made = compile_line(pieces_of(template.strip(), ()))
    extra = ("a b", "$(id)", "it's", "")
    assert run(made, {"x": "1"}, extra) == "[1][a b][$(id)][it's][]"
    assert run(made, {"x": "1"}) == "[1]"


@pytest.mark.parametrize(
    ("template", "reason"),
    [
        ("for i in 1; do a; done", "it ends in `done`"), ("if a; then b; fi", "it ends in `fi`"), ("a; # b", "it ends in a comment"),
        ("a &", "it ends in `&`"), ("a;", "it ends in `;`"), ("(a)", "it ends in `)`"), ("{ a; }", "it ends in `}`"),
        ("cat <<E\nE", "its end is not the end of a simple command"), ("a | b", ""), ("cd x\na", ""), ("a > b", ""), ("A=1 b", ""),
    ],
)  # fmt: skip
def test_where_words_cannot_be_added(template: str, reason: str):
    made = compiled(template)
    assert isinstance(made, Script)
    assert made.no_append == reason


# -- random command lines ---------------------------------------------------------------------------------------

TEXT = st.text(st.sampled_from("ab'\"\\ $`*;&|#~!(){}[]<>\n\tü=-%?"), max_size=6)
PLAIN = st.text(st.sampled_from("ab-_=,.:/@%+"), min_size=1, max_size=3)


@st.composite
def segments(draw: st.DrawFn) -> tuple[str, str]:
    """A piece of a word: as it is written in the template, and as it arrives, with \\1 and \\2 for the values."""
    name, mark = draw(st.sampled_from([("{x}", "\1"), ("{y}", "\2")]))
    plain = draw(PLAIN)
    return draw(
        st.sampled_from(
            [
                (name, mark),
                (plain, plain),
                (f'"{plain}{name} $$x"'.replace("$$x", plain), f"{plain}{mark} {plain}"),
                (f"'{plain}\" {name} $x \\'", f'{plain}" {mark} $x \\'),
                (f'"\'{name}\\"\\$\\`\\\\"', f"'{mark}\"$`\\"),
                (f'"\\{name}\\a"', f"\\{mark}\\a"),
                (f"\\'\\\"\\ {name}\\$\\#", f"'\" {mark}$#"),
                (f'"$(printf %s. {name})"', f"{mark}."),
                (f"\"$(printf '%s.' \"{plain} {name}\" '{name}')\"", f"{plain} {mark}.{mark}."),
                (f'"$( (printf %s. {name}); :)"', f"{mark}."),
                ('"$((1+(2)))"', "3"),
                ("${UNSET_X:-}", ""),
                ('"${UNSET_X:-a b}"', "a b"),
                ("\\{x}", "{x}"),
                ("{{}}", "{}"),
            ]
        )
    )


WORDS = st.lists(st.lists(segments(), min_size=1, max_size=4), min_size=1, max_size=4)
GLUE = st.sampled_from(
    [
        "",
        ":; ",
        "# it's {x} \"\n",
        "{ :; }; ",
        "true && ",
        "A={y}; ",
        "(exit 0) && ",
        'g() { :; }; g "{x}"; ',
        "f() { shift; }; ",
    ]
)


@settings(max_examples=150, deadline=None)
@given(words=WORDS, glue=GLUE, x=TEXT, y=TEXT)
def test_random_command_lines(words: list[list[tuple[str, str]]], glue: str, x: str, y: str):
    template = f"{glue}printf '%s\\0' end " + " ".join("".join(part for part, _ in word) for word in words)
    arrived = ["".join(part for _, part in word).replace("\2", y).replace("\1", x) for word in words]
    # A word of nothing but an unquoted empty expansion is no word at all.
    wrote = [[part for part, _ in word] for word in words]
    expected = ["end"] + [
        text for text, parts in zip(arrived, wrote, strict=True) if set(parts) != {"${UNSET_X:-}"}
    ]
    made = compiled(template)
    for shell in SHELLS[:2]:
        assert run(made, {"x": x, "y": y}, shell=shell).split("\0")[:-1] == expected, (template, shell)


@settings(max_examples=300)
@given(st.text(st.sampled_from("ab {x}'\"\\$(`)#;|&<>\n~*["), max_size=25))
def test_any_text_is_compiled_or_refused(template: str):
    """Whatever is written, the value never becomes a part of the script."""
    try:
        made = compiled(template)
    except ShellProblem:
        return
    if isinstance(made, Script):
        assert "VALUE" not in made.text(2)
        assert made.text().count("${") >= len(made.names)
