"""CMCD: reports of other people's players, written by the reference encoder, come to the same sums as ours."""

from dataclasses import asdict, fields

import pytest
from hypothesis import given
from hypothesis import strategies as st

from frameworks.contracts import cmcd
from frameworks.contracts.cmcd import BadCmcd, Report
from frameworks.contracts.cmcd_sessions import LONGEST_GAP, Boot, Found, Session, Sessions
from frameworks.contracts.pb import events_v1_pb2 as events

SID = "6e2fb550-c457-11e9-bb97-0800200c9a66"
# Written by @svta/cml-cmcd 2.7.0, version 2, event mode.
VIEWING = f"""e=ps,sf=h,sid="{SID}",sn=0,st=l,sta=s,ts=1700000000000,v=2
br=(2500 128),e=ps,msd=850,sf=h,sid="{SID}",sn=1,st=l,sta=p,ts=1700000000850,v=2
bl=(3000),br=(2500 128),e=t,ltc=2100,sf=h,sid="{SID}",sn=2,st=l,sta=p,ts=1700000010850,v=2
br=(2500 128),bs,bsa=1,e=ps,sf=h,sid="{SID}",sn=3,st=l,sta=r,ts=1700000012850,v=2
br=(800 128),bsa=1,bsd=(1500),bsda=1500,e=ps,sf=h,sid="{SID}",sn=4,st=l,sta=p,ts=1700000014350,v=2
br=(800 128),e=ps,sf=h,sid="{SID}",sn=5,st=l,sta=q,ts=1700000024350,v=2
""".encode()
FAILED = f'e=e,ec=("MEDIA_ERR"),sf=h,sid="{SID}",sn=1,st=l,sta=f,ts=1700000000850,v=2'.encode()
NOW = 1_700_000_030_000


def taken(sessions: Sessions, body: bytes, owner: str = "t") -> Found:
    """What one body comes to."""
    (found,) = sessions.take(owner, cmcd.read_events(body), NOW)
    return found


def test_a_session_in_one_body_comes_to_its_sums() -> None:
    found = taken(Sessions(), VIEWING)
    session = found.session
    assert (session.session_id, session.sequence, session.final) == (SID, 5, True)
    assert (session.played_ms, session.stalled_ms, session.stalls) == (22_000, 1_500, 1)
    assert session.bitrate_ms == 12_000 * 2628 + 10_000 * 928
    assert (session.switches, session.latency_ms_sum, session.latency_samples) == (1, 2100, 1)
    assert (session.failed, session.left_before_start, session.protocol) == (False, False, "hls")
    assert found.boot is not None
    assert (found.boot.outcome, found.boot.first_frame_ms) == ("playing", 850)


def test_line_by_line_it_comes_to_the_same() -> None:
    sessions, total = Sessions(), Session("")
    boots = []
    for line in VIEWING.splitlines():
        found = taken(sessions, line)
        for name in ("played_ms", "stalled_ms", "stalls", "bitrate_ms", "switches", "latency_ms_sum"):
            setattr(total, name, getattr(total, name) + getattr(found.session, name))
        boots += [found.boot] if found.boot else []
    whole = taken(Sessions(), VIEWING).session
    assert (total.played_ms, total.stalled_ms, total.stalls) == (22_000, 1_500, 1)
    assert (total.bitrate_ms, total.switches) == (whole.bitrate_ms, whole.switches)
    assert len(boots) == 1


def test_a_body_sent_twice_counts_once() -> None:
    sessions = Sessions()
    taken(sessions, VIEWING)
    again = taken(sessions, VIEWING)
    assert (again.taken, again.repeated, again.session.played_ms) == (0, 6, 0)
    assert taken(sessions, VIEWING, owner="another tenant").session.played_ms == 22_000


def test_a_failure_before_the_first_frame_is_no_exit() -> None:
    found = taken(Sessions(), FAILED)
    assert (found.session.failed, found.session.left_before_start) == (True, False)
    assert found.session.error == "MEDIA_ERR"
    assert found.boot is not None
    assert (found.boot.outcome, found.boot.first_frame_ms) == ("failed", 0)


def test_who_quits_while_it_starts_left_before_the_start() -> None:
    body = b'sid="a",sn=0,sta=s,ts=1000,v=2,e=ps\nsid="a",sn=1,sta=q,ts=5000,v=2,e=ps'
    found = taken(Sessions(), body)
    assert found.session.left_before_start
    assert found.boot is not None
    assert found.boot.outcome == "left"


def test_a_session_met_in_its_middle_counts_from_there() -> None:
    sessions = Sessions()
    middle = taken(sessions, b'sid="a",sn=40,sta=p,ts=1000,bsa=7,bsda=90000,v=2,e=t')
    assert (middle.session.stalls, middle.session.stalled_ms, middle.session.played_ms) == (0, 0, 0)
    later = taken(sessions, b'sid="a",sn=41,sta=p,ts=11000,bsa=8,bsda=91000,v=2,e=t')
    assert (later.session.stalls, later.session.stalled_ms, later.session.played_ms) == (1, 1000, 10_000)


def test_silence_is_not_taken_for_playing() -> None:
    found = taken(Sessions(), b'sid="a",sn=0,sta=p,ts=0,e=t,v=2\nsid="a",sn=1,sta=p,ts=9999999999,e=t,v=2')
    assert found.session.played_ms == LONGEST_GAP


def test_requests_of_version_one_tell_stalls_and_bitrate() -> None:
    sessions = Sessions()
    for second, text in ((0, 'su,br=900,ot=v,sid="a"'), (2, 'br=900,ot=v,sid="a"')):
        sessions.take("t", [cmcd.read(text)], second * 1000)
    (found,) = sessions.take("t", [cmcd.read('bs,br=500,ot=v,sid="a"')], 6000)
    assert (found.session.stalls, found.session.played_ms, found.session.switches) == (1, 4000, 1)
    assert cmcd.read('br=128,ot=a,sid="a"').bitrate_kbps == 0


def test_the_four_headers_are_one_report() -> None:
    headers = {"cmcd-request": "bl=2100,su", "cmcd-object": "br=1000,ot=v", "cmcd-session": 'sid="x"'}
    found = cmcd.read(cmcd.read_headers(headers))
    assert (found.session, found.bitrate_kbps, found.starting) == ("x", 1000, True)


@pytest.mark.parametrize(
    "body",
    [
        b"\xff",
        b"sn=1",
        b'sid=""',
        b'sid="x",',
        b'sid="' + b"x" * 200 + b'"',
        b'sid="a"\n' * 201,
        b"x=" + b"1" * 9000,
    ],
)
def test_what_is_no_cmcd_is_refused(body: bytes) -> None:
    with pytest.raises(BadCmcd):
        cmcd.read_events(body)


def test_a_value_of_another_type_is_left_out() -> None:
    found = cmcd.read('sid="a",sn="3",ts=-1,bsa=(a b),msd=?1,sta=zz,ltc=1.9')
    assert found == Report(session="a", latency_ms=1)


@given(st.binary(max_size=300))
def test_any_bytes_are_read_or_refused(body: bytes) -> None:
    try:
        reports = cmcd.read_events(body)
    except BadCmcd:
        return
    Sessions().take("t", reports, NOW)


NUMBER = st.integers(0, 10**13)
LINES = st.fixed_dictionaries(
    {"sid": st.sampled_from(['"a"', '"b"'])},
    optional={
        "sn": NUMBER,
        "ts": NUMBER,
        "sta": st.sampled_from("spkrawefqd"),
        "bsa": NUMBER,
        "bsda": NUMBER,
        "bsd": st.lists(NUMBER, max_size=3).map(lambda n: f"({' '.join(map(str, n))})"),
        "msd": NUMBER,
        "br": NUMBER,
        "ltc": NUMBER,
        "pt": NUMBER,
        "e": st.sampled_from(["ps", "t", "e", "bc"]),
    },
)


@pytest.mark.parametrize("states", ["qf", "fq", "qfq", "ff", "fe"])
def test_a_session_that_failed_did_not_leave_by_choice(states: str) -> None:
    body = "\n".join(f'sid="a",sta={state}' for state in states)
    (found,) = Sessions().take("t", cmcd.read_events(body.encode()), NOW)
    assert found.session.final
    assert found.session.failed
    assert not found.session.left_before_start


@given(st.lists(LINES, min_size=1, max_size=30))
def test_no_order_of_reports_makes_a_sum_that_can_not_be(lines: list[dict[str, object]]) -> None:
    body = "\n".join(",".join(f"{key}={value}" for key, value in line.items()) for line in lines)
    for found in Sessions().take("t", cmcd.read_events(body.encode()), NOW):
        assert 0 <= found.session.played_ms <= len(lines) * LONGEST_GAP
        assert events.PlayerSession(**asdict(found.session)).IsInitialized()
        assert found.session.stalls <= 10**13
        assert not (found.session.failed and found.session.left_before_start)


def test_sums_have_the_names_of_the_events_fields() -> None:
    for sums, message in ((Session, events.PlayerSession), (Boot, events.PlayerBoot)):
        assert {field.name for field in fields(sums)} <= set(message.DESCRIPTOR.fields_by_name)


def test_whoever_knows_better_says_how_long_a_silence_may_be() -> None:
    body = b'sid="a",sn=0,sta=p,ts=0,e=t,v=2\nsid="a",sn=1,sta=p,ts=99999,e=t,v=2'
    assert taken(Sessions(longest_gap=20_000), body).session.played_ms == 20_000
