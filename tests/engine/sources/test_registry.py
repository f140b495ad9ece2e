"""The words that choose sources: what each is read as, what is refused, and in which words."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import pytest
from hypothesis import given
from hypothesis import strategies as st
from spawn_tui.engine.config.model import NamedSource
from spawn_tui.engine.sources.base import SourceContext
from spawn_tui.engine.sources.registry import (
    CLOUD_SLOTS,
    KINDS,
    SourceError,
    SourceSpec,
    cores,
    make_source,
    parse_sources,
)  # fmt: skip
from spawn_tui.state.layout import SweepLayout

NAMED = {
    "server1": NamedSource("server1", "ssh", 8, {"host": "10.0.0.5", "user": "me"}, "spawn.yaml:2"),
    "alias": NamedSource("alias", "ssh", None, {}, "spawn.yaml:3"),
    "cluster": NamedSource("cluster", "slurm", None, {"host": "login", "partition": "gpu"}, "spawn.yaml:4"),
    "big": NamedSource("big", "hpc", 32, {"host": "login2"}, "spawn.yaml:5"),
    "local": NamedSource("local", "local", 3, {"cost_per_hour": "0.1"}, "spawn.yaml:6"),
}


def one(text: str, named: dict[str, NamedSource] | None = None) -> SourceSpec:
    (spec,) = parse_sources([text], named or {})
    return spec


def refused(text: str, named: dict[str, NamedSource] | None = None) -> str:
    with pytest.raises(SourceError) as caught:
        parse_sources([text], named or {})
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "name", "kind", "slots", "options"),
    [
        ("local", "local", "local", cores(), {}),
        ("local:4", "local", "local", 4, {}),
        ("ssh:host", "host", "ssh", 4, {"host": "host"}),
        ("ssh:host:8", "host", "ssh", 8, {"host": "host"}),
        ("ssh:host:22", "host", "ssh", 22, {"host": "host"}),
        ("ssh:host:22:8", "host", "ssh", 8, {"host": "host", "port": "22"}),
        ("ssh:me@host:2222:1", "host", "ssh", 1, {"host": "host", "user": "me", "port": "2222"}),
        ("ssh:DOM\\me@host", "host", "ssh", 4, {"host": "host", "user": "DOM\\me"}),
        ("ssh:[::1]", "::1", "ssh", 4, {"host": "::1"}),
        ("ssh:[::1]:4", "::1", "ssh", 4, {"host": "::1"}),
        ("ssh:me@[fe80::1%eth0]:22:4", "fe80::1%eth0", "ssh", 4,
         {"host": "fe80::1%eth0", "user": "me", "port": "22"}),
        ("ssh:10.0.0.7:3", "10.0.0.7", "ssh", 3, {"host": "10.0.0.7"}),
        ("slurm", "slurm", "slurm", 16, {}),
        ("slurm:8", "slurm", "slurm", 8, {}),
        ("slurm:tier2:8", "tier2", "slurm", 8, {}),
        ("pbs", "pbs", "pbs", 16, {}),
        ("pbs:queue-a", "queue-a", "pbs", 16, {}),
        ("hpc", "hpc", "hpc", 16, {}),
        ("hpc:16", "hpc", "hpc", 16, {}),
        ("hpc:cluster:16", "cluster", "hpc", 16, {}),
        ("ec2", "ec2", "ec2", CLOUD_SLOTS, {}),
        ("ec2:20", "ec2", "ec2", 20, {}),
        ("ec2:us-east-1", "ec2-us-east-1", "ec2", CLOUD_SLOTS, {"region": "us-east-1"}),
        ("ec2:us-east-1:50", "ec2-us-east-1", "ec2", 50, {"region": "us-east-1"}),
    ],
)  # fmt: skip
def test_what_a_word_is_read_as(text: str, name: str, kind: str, slots: int, options: dict[str, str]):
    assert one(text) == SourceSpec(name, kind, slots, options)


@pytest.mark.parametrize(
    ("text", "name", "kind", "slots", "options"),
    [
        ("server1", "server1", "ssh", 8, {"host": "10.0.0.5", "user": "me"}),
        ("server1:2", "server1", "ssh", 2, {"host": "10.0.0.5", "user": "me"}),
        ("ssh:server1", "server1", "ssh", 8, {"host": "10.0.0.5", "user": "me"}),
        ("ssh:you@server1:2222:1", "server1", "ssh", 1, {"host": "10.0.0.5", "user": "you", "port": "2222"}),
        ("alias", "alias", "ssh", 4, {"host": "alias"}),
        ("cluster:9", "cluster", "slurm", 9, {"host": "login", "partition": "gpu"}),
        ("hpc:cluster:16", "cluster", "slurm", 16, {"host": "login", "partition": "gpu"}),
        ("big", "big", "hpc", 32, {"host": "login2"}),
        ("pbs:big:2", "big", "pbs", 2, {"host": "login2"}),
        ("local", "local", "local", 3, {"cost_per_hour": "0.1"}),
        ("local:5", "local", "local", 5, {"cost_per_hour": "0.1"}),
        ("slurm:4", "slurm", "slurm", 4, {}),
    ],
)
def test_names_of_the_configuration(text: str, name: str, kind: str, slots: int, options: dict[str, str]):
    assert one(text, NAMED) == SourceSpec(name, kind, slots, options)


def test_an_entry_by_the_name_of_a_kind_holds_for_clusters_without_one():
    named = {"hpc": NamedSource("hpc", "slurm", 5, {"walltime": "01:00:00"}, "hsm_config.yaml:1")}
    assert one("hpc", named) == SourceSpec("hpc", "slurm", 5, {"walltime": "01:00:00"})
    assert one("hpc:anything:7", named) == SourceSpec("anything", "slurm", 7, {"walltime": "01:00:00"})


def test_an_entry_by_the_name_of_a_cloud_holds_in_every_region():
    options = {"key_name": "lab", "region": "eu-west-1"}
    named = {"ec2": NamedSource("ec2", "ec2", 7, options, "spawn.yaml:1")}
    assert one("ec2", named) == SourceSpec("ec2", "ec2", 7, options)
    asked = {"key_name": "lab", "region": "us-east-1"}
    assert one("ec2:us-east-1", named) == SourceSpec("ec2-us-east-1", "ec2", 7, asked)
    assert one("ec2:us-east-1:50", named) == SourceSpec("ec2-us-east-1", "ec2", 50, asked)


def test_several_comma_separated_or_repeated():
    specs = parse_sources(["local:4, ssh:server1:8", "hpc:cluster:16,"])
    assert [(s.name, s.kind, s.slots) for s in specs] == [
        ("local", "local", 4), ("server1", "ssh", 8), ("cluster", "hpc", 16),
    ]  # fmt: skip
    assert [(s.name, s.slots) for s in parse_sources([])] == [("local", cores())]
    assert [(s.name, s.slots) for s in parse_sources([], NAMED)] == [("local", 3)]


def test_names_are_unique_and_the_configuration_keeps_its_own():
    names = [s.name for s in parse_sources(["local,local,ssh:a@h,ssh:b@h,local"])]
    assert names == ["local", "local-2", "h", "h-2", "local-3"]
    named = {"local-2": NamedSource("local-2", "ssh", None, {"host": "x"}, "spawn.yaml:1")}
    assert [s.name for s in parse_sources(["local,local,local-2"], named)] == ["local", "local-3", "local-2"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("locall", ["did you mean", '"local"', "no configuration names any"]),
        ("shh:server1:8", ["did you mean", '"ssh"']),
        ("Slurm", ["did you mean", '"slurm"']),
        ("local:0", ["local:0", "number of slots"]),
        ("local:-1", ["'-1'"]),
        ("local:many", ["'many'"]),
        ("local:100001", ["100000"]),
        ("local:", ["ends with a colon"]),
        ("local:4:4", ["too many parts"]),
        ("ssh", ["names no host"]),
        ("ssh:8", ["names no host"]),
        ("ssh:-oProxyCommand=x", ["is not a host"]),
        ("ssh:a b", ["is not a host"]),
        ("ssh:@host", ["is not a user"]),
        ("ssh:-l@host", ["is not a user"]),
        ("ssh:host:0:4", ["is not a port"]),
        ("ssh:host:65536:4", ["is not a port"]),
        ("ssh:host:22:x", ["'x' is not a number of slots"]),
        ("ssh:host:22:4:4", ["too many parts", "ssh:[::1]:22:4"]),
        ("ssh:fe80::1:22", ["in brackets"]),
        ("ssh:[::1", ["is not a host"]),
        ("ssh:[::1]22", ["after ]"]),
        ("slurm:a/b", ["is not a name"]),
        ("slurm:a:b", ["number of slots"]),
        ("hpc:16:16", ["too many parts"]),
        ("ec2:us-east-1:50:1", ["too many parts", "ec2:us-east-1:16"]),
        ("ec2:-x", ["'-x' is not a name; write it like ec2, ec2:16, ec2:us-east-1 or ec2:us-east-1:16"]),
        ("ec2:us-east-1:0", ["'0' is not a number of slots"]),
        ("ec2:us east", ["is not a name"]),
        ("ecc2:us-east-1", ["did you mean", '"ec2"']),
    ],
)
def test_what_is_refused_and_why(text: str, said: list[str]):
    message = refused(text)
    for word in said:
        assert word in message


def test_refusals_know_the_configuration():
    message = refused("sever1", NAMED)
    assert 'did you mean "server1"' in message and "cluster" in message
    assert 'did you mean "cluster"' in refused("hpc:clutser:16", NAMED)
    message = refused("ssh:cluster", NAMED)
    assert "type slurm" in message and "spawn.yaml:4" in message and "slurm:cluster" in message
    assert "server1:4" in refused("server1:many:parts", NAMED)
    assert refused("local,server1:0", NAMED).startswith('"server1:0"')


def test_a_number_that_looks_like_a_port_is_told():
    said: list[str] = []
    parse_sources(
        ["ssh:host:22,ssh:host:2222,ssh:host:8,ssh:host:22:4,local:22,slurm:x:22"], warn=said.append
    )
    assert said == [
        "ssh:host:22 is read as 22 slots; write ssh:host:22:8 for port 22 with 8 slots",
        "ssh:host:2222 is read as 2222 slots; write ssh:host:2222:8 for port 2222 with 8 slots",
    ]


hosts = st.one_of(
    st.from_regex(r"[a-z][a-z0-9.-]{0,20}[a-z]", fullmatch=True),
    st.ip_addresses(v=6).map(str),
    st.ip_addresses(v=4).map(str),
)


@given(
    host=hosts,
    user=st.one_of(st.just(""), st.from_regex(r"[A-Za-z_][A-Za-z0-9_.+-]{0,12}", fullmatch=True)),
    port=st.one_of(st.none(), st.integers(1, 65535)),
    slots=st.one_of(st.none(), st.integers(1, 100_000)),
)
def test_every_ssh_source_is_read_as_it_was_written(
    host: str, user: str, port: int | None, slots: int | None
):
    shown = f"[{host}]" if ":" in host else host
    if port is not None and slots is None:
        slots = 4
    text = f"ssh:{user + '@' if user else ''}{shown}"
    text += f":{port}" if port is not None else ""
    text += f":{slots}" if slots is not None else ""
    options = {"host": host}
    if user:
        options["user"] = user
    if port is not None:
        options["port"] = str(port)
    assert one(text) == SourceSpec(host, "ssh", slots or 4, options)


@given(st.text(max_size=40))
def test_any_text_is_read_or_refused_in_words(text: str):
    try:
        for spec in parse_sources([text], NAMED):
            assert spec.kind in KINDS and spec.slots >= 1 and spec.name
    except SourceError as error:
        assert str(error)


@given(
    st.lists(st.sampled_from(["local", "local:2", "server1", "ssh:h", "slurm", "slurm:4", "alias", "pbs"]))
)
def test_names_never_meet(words: list[str]):
    names = [spec.name for spec in parse_sources(words, NAMED)]
    assert len(names) == len(set(names))


def test_traits_of_the_kinds():
    assert {name for name, kind in KINDS.items() if kind.queue} == {"slurm", "pbs", "hpc"}
    assert {name for name, kind in KINDS.items() if not kind.remote} == {"local", "ec2"}
    assert {name for name, kind in KINDS.items() if kind.cloud} == {"ec2"}
    assert {name for name in KINDS if SourceSpec(name, name, 1, {"host": "h"}).elsewhere} == {*KINDS} - {
        "local"
    }
    assert one("ec2:us-east-1").elsewhere and not one("ec2:us-east-1").host
    assert one("ec2").grace > 3600 and one("ssh:h").grace == 0, (
        "an API that is silent says nothing of instances"
    )
    assert one("slurm").queue and one("pbs").queue and not one("local").queue and not one("ssh:h").queue
    with pytest.raises(FrozenInstanceError):
        KINDS["local"].queue = True  # type: ignore[misc]


def test_making_a_source(tmp_path):
    context = SourceContext(SweepLayout(tmp_path), "sweep", tmp_path)
    source = make_source(SourceSpec("mine", "local", 1), context)
    assert source.name == "mine"
    source.close()
    with pytest.raises(SourceError, match="knows no kind 'quantum'"):
        make_source(SourceSpec("q", "quantum", 1), context)
    with pytest.raises(SourceError, match="in which region; write ec2:us-east-1"):
        make_source(SourceSpec("ec2", "ec2", 1), context)
    with pytest.raises(SourceError, match="Slurm or PBS"):
        make_source(SourceSpec("hpc", "hpc", 1), context)
