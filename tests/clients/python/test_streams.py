"""Client libraries from PyPI follow the streams. Each parses the data of every message it is given, as naive users do."""

import json
from collections.abc import Iterator

import pytest
from forwarder import Forwarder
from libraries import CUT, LIBRARIES, Follow
from test_life import ANONYMOUS, BASE_URL, fresh_leaderboard, of, score
from scoreboard_client.api.entries import list_entries
from scoreboard_client.models import Window


@pytest.fixture(params=LIBRARIES.values(), ids=LIBRARIES.keys())
def follow(request: pytest.FixtureRequest) -> Follow:
    return request.param


@pytest.fixture
def network() -> Iterator[Forwarder]:
    forwarder = Forwarder(BASE_URL)
    yield forwarder
    forwarder.close()


def messages(follow: Follow, url: str, attempts: int = 50) -> Iterator[tuple[str, str, dict]]:
    """What a stream brings, coming back after each end with the last id."""
    last_id = ""
    for _ in range(attempts):
        try:
            for event, event_id, data in follow(url, last_id):
                last_id = event_id or last_id
                yield event, event_id, json.loads(data)
        except CUT:
            continue
    raise AssertionError("the stream ended again and again")


def test_every_score_is_seen_once_and_in_order_also_those_while_the_connection_was_cut(follow: Follow, network: Forwarder) -> None:
    leaderboard, action = fresh_leaderboard()
    stream = messages(follow, f"{network.url}/api/leaderboards/{leaderboard}/stream")
    event, event_id, snapshot = next(stream)
    assert (event, event_id, snapshot["entries"]) == ("leaderboard", snapshot["version"], [])

    versions = [score(action, user).version for user in ("ann", "ben", "ann")]
    seen = [next(stream) for _ in versions]
    with network.cut():
        versions += [score(action, user).version for user in ("cem", "ben", "ben")]
    versions.append(score(action, "ann").version)
    seen += [next(stream) for _ in versions[3:]]

    assert [event for event, _, _ in seen] == ["score-updated"] * 7
    assert [event_id for _, event_id, _ in seen] == versions
    assert [data["version"] for _, _, data in seen] == versions
    assert [data["since"] for _, _, data in seen] == [snapshot["version"], *versions[:-1]]
    assert [(data["userId"], data["score"]) for _, _, data in seen][-2:] == [("ben", 30), ("ann", 30)]
    stream.close()


def test_the_top_is_the_rankings_before_and_after_the_connection_was_cut(follow: Follow, network: Forwarder) -> None:
    leaderboard, action = fresh_leaderboard()
    stream = messages(follow, f"{network.url}/api/leaderboards/{leaderboard}/stream?view=top&limit=3&hz=20")
    window: list[dict] = []

    def shows(*rows: tuple[str, int]) -> None:
        """Applies what comes, by the rule that openapi.yaml gives for patches, until these are the rows."""
        for event, _, data in stream:
            if event == "leaderboard":
                window[:] = data["entries"]
            elif event == "leaderboard-patch":
                window.extend([{}] * (data["size"] - len(window)))
                for row in data["rows"]:
                    window[row["rank"] - 1] = row
                del window[data["size"] :]
            if [(row["userId"], row["score"]) for row in window] == list(rows):
                return

    shows()
    score(action, "ann")
    shows(("ann", 10))
    with network.cut():
        for user in ("ben", "ben", "cem", "cem", "cem", "dan"):
            score(action, user)
    shows(("cem", 30), ("ben", 20), ("ann", 10))
    read = of(Window, list_entries.sync(leaderboard, client=ANONYMOUS, limit=3))
    assert [entry.to_dict() | {"at": row["at"]} for entry, row in zip(read.entries, window)] == window
    stream.close()


def test_one_users_place_and_several_leaderboards_in_one_connection(follow: Follow, network: Forwarder) -> None:
    (one, action), (other, other_action) = fresh_leaderboard(), fresh_leaderboard()
    places = messages(follow, f"{network.url}/api/leaderboards/{one}/stream?view=user&userId=ann&hz=20")
    assert next(places)[2]["entry"] is None
    score(action, "ann")
    event, _, standing = next(places)
    assert (event, standing["entry"]["rank"], standing["percentile"]) == ("standing", 1, 100)
    places.close()

    several = messages(follow, f"{network.url}/api/stream?leaderboards={one},{other}&hz=20")
    assert {next(several)[2]["leaderboardId"] for _ in range(2)} == {one, other}
    score(other_action, "ben")
    event, _, patch = next(several)
    assert (event, patch["leaderboardId"], patch["rows"][0]["userId"]) == ("leaderboard-patch", other, "ben")
    several.close()
