"""A leaderboard's life through the client that openapi-python-client makes of openapi.yaml. mypy reads this file, too."""

import importlib
import os
import pkgutil
import uuid
from typing import TypeVar

import scoreboard_client
from scoreboard_client import AuthenticatedClient, Client
from scoreboard_client.api.actions import create_action, get_action, update_action
from scoreboard_client.api.entries import get_entry, list_entries, list_leaderboard_scores, query_entries
from scoreboard_client.api.leaderboards import create_leaderboard, delete_leaderboard, get_leaderboard, list_leaderboards
from scoreboard_client.api.operation import live, metrics, ready
from scoreboard_client.api.scores import submit_score, submit_scores
from scoreboard_client.api.users import list_user_scores, replace_user
from scoreboard_client.models import (
    AcceptedSubmission,
    Action,
    ActionPatch,
    BatchedSubmission,
    BatchResults,
    EntriesQuery,
    EntryAnswer,
    LatestScores,
    Leaderboard,
    LeaderboardList,
    Limit,
    Liveness,
    Metadata,
    NewAction,
    NewLeaderboard,
    Operator,
    Order,
    Problem,
    Profile,
    QueriedEntries,
    Readiness,
    RefusedSubmission,
    ScoreBatch,
    ScoreHistory,
    ScoreReceipt,
    ScoreSubmission,
    User,
    ValueRange,
    Window,
)
from scoreboard_client.types import UNSET, Unset

BASE_URL = os.environ["SCOREBOARD_URL"]
CLIENT = AuthenticatedClient(base_url=BASE_URL, token=os.environ["SCOREBOARD_TOKEN"], raise_on_unexpected_status=True)
ANONYMOUS = Client(base_url=BASE_URL, raise_on_unexpected_status=True)

T = TypeVar("T")


def of(kind: type[T], answer: object) -> T:
    assert isinstance(answer, kind), answer
    return answer


def fresh_leaderboard(order: Order | Unset = UNSET, operator: Operator | Unset = UNSET) -> tuple[str, str]:
    """A leaderboard, and an action of ten points that feeds it."""
    leaderboard, action = f"t-{uuid.uuid4()}", f"t-{uuid.uuid4()}"
    body = NewLeaderboard(id=leaderboard, order=order, operator=operator)
    made = of(Leaderboard, create_leaderboard.sync(client=CLIENT, body=body))
    assert (made.season, made.total, made.watchers) == (1, 0, 0)
    of(Action, create_action.sync(client=CLIENT, body=NewAction(id=action, leaderboards=[leaderboard], points=10)))
    return leaderboard, action


def score(action: str, user: str, value: int | Unset = UNSET) -> ScoreReceipt:
    body = ScoreSubmission(action_id=action, user_id=user, value=value)
    return of(ScoreReceipt, submit_score.sync(client=CLIENT, body=body))


def test_every_module_of_the_generated_package_imports() -> None:
    modules = [module.name for module in pkgutil.walk_packages(scoreboard_client.__path__, "scoreboard_client.")]
    assert len(modules) > 80
    for module in modules:
        importlib.import_module(module)


def test_an_action_has_fixed_points_or_a_value_range() -> None:
    leaderboard, fixed = fresh_leaderboard(order=Order.ASC, operator=Operator.BEST)
    action = of(Action, get_action.sync(fixed, client=ANONYMOUS))
    assert (action.points, action.value) == (10, None)

    laps = NewAction(id=f"t-{uuid.uuid4()}", leaderboards=[leaderboard], value=ValueRange(min_=0, max_=600_000))
    ranged = of(Action, create_action.sync(client=CLIENT, body=laps))
    assert (ranged.points, of(ValueRange, ranged.value).max_) == (None, 600_000)
    assert score(laps.id, "ann", value=83_250).new_score == 83_250
    assert not score(laps.id, "ann", value=90_000).applied

    patch = ActionPatch(points=5, limit=Limit(count=2, per_seconds=60))
    patched = of(Action, update_action.sync(laps.id, client=CLIENT, body=patch))
    assert (patched.points, patched.value, of(Limit, patched.limit).per_seconds) == (5, None, 60)


def test_a_score_with_a_key_counts_once() -> None:
    leaderboard, action = fresh_leaderboard()
    match = Metadata.from_dict({"match": "m-9", "laps": [1, 2.5, None]})
    body = ScoreSubmission(action_id=action, user_id="ann", metadata=match)
    first, again = (
        submit_score.sync_detailed(client=CLIENT, body=body, idempotency_key=f"key-{action}") for _ in range(2)
    )
    receipt = of(ScoreReceipt, first.parsed)
    assert again.parsed == receipt
    assert again.headers["idempotency-replayed"] == "true"
    assert (receipt.new_score, receipt.previous_score, receipt.standings[0].total) == (10, None, 1)

    assert receipt.version
    window = of(Window, list_entries.sync(leaderboard, client=ANONYMOUS, min_version=receipt.version))
    assert [(entry.rank, entry.user_id, entry.score, entry.at) for entry in window.entries] == [(1, "ann", 10, receipt.at)]
    history = of(ScoreHistory, list_user_scores.sync("ann", client=ANONYMOUS, leaderboard_id=leaderboard))
    assert [event.metadata for event in history.scores] == [match]
    latest = of(LatestScores, list_leaderboard_scores.sync(leaderboard, client=ANONYMOUS, limit=5))
    assert [(score.event_id, score.version, score.rank) for score in latest.scores] == [(receipt.event_id, receipt.version, 1)]


def test_the_items_of_a_batch_are_told_apart() -> None:
    _, action = fresh_leaderboard()
    submissions = [
        BatchedSubmission(action_id=action, user_id="ann", idempotency_key=f"key-{action}"),
        BatchedSubmission(action_id=action, user_id="ben", value=3),
    ]
    answer = of(BatchResults, submit_scores.sync(client=CLIENT, body=ScoreBatch(submissions=submissions)))
    accepted, refused = answer.results
    assert of(AcceptedSubmission, accepted).body.new_score == 10
    assert of(RefusedSubmission, refused).status == 422
    assert [error.field for error in of(list, of(RefusedSubmission, refused).body.errors)] == ["value"]


def test_places_are_read_around_a_user_and_among_friends() -> None:
    leaderboard, action = fresh_leaderboard()
    for user in ["ann", "ben", "ben", "cem", "cem", "cem"]:
        score(action, user)
    place = of(EntryAnswer, get_entry.sync(leaderboard, "ben", client=ANONYMOUS, around=1))
    assert (place.entry.rank, place.percentile, [entry.user_id for entry in place.around]) == (2, 50, ["cem", "ben", "ann"])
    friends = EntriesQuery(user_ids=["ann", "cem", "nobody"])
    found = of(QueriedEntries, query_entries.sync(leaderboard, client=ANONYMOUS, body=friends))
    assert [(entry.position, entry.rank, entry.user_id) for entry in found.entries] == [(1, 1, "cem"), (2, 3, "ann")]


def test_a_refusal_is_a_problem() -> None:
    _, action = fresh_leaderboard()
    answer = submit_score.sync_detailed(client=CLIENT, body=ScoreSubmission(action_id=action, user_id=""))
    problem = of(Problem, answer.parsed)
    assert (answer.status_code, problem.status) == (422, 422)
    assert [error.field for error in of(list, problem.errors)] == ["userId"]
    assert of(Problem, get_leaderboard.sync(f"t-{uuid.uuid4()}", client=ANONYMOUS)).status == 404


def test_a_profile_is_written_and_a_leaderboard_goes() -> None:
    leaderboard, action = fresh_leaderboard()
    user = f"u-{uuid.uuid4()}"
    score(action, user)
    profile = Profile(display_name="Ada", country="GB", metadata=Metadata.from_dict({"team": "blue"}))
    written = of(User, replace_user.sync(user, client=CLIENT, body=profile))
    assert (written.display_name, of(Metadata, written.metadata)["team"]) == ("Ada", "blue")
    everything = of(LeaderboardList, list_leaderboards.sync(client=CLIENT))
    assert [one.total for one in everything.leaderboards if one.id == leaderboard] == [1]
    assert delete_leaderboard.sync_detailed(leaderboard, client=CLIENT).status_code == 204
    assert of(Problem, get_leaderboard.sync(leaderboard, client=CLIENT)).status == 404


def test_operators_get_what_they_ask_for() -> None:
    assert of(Liveness, live.sync(client=ANONYMOUS)).status == "alive"
    assert of(Readiness, ready.sync(client=ANONYMOUS)).status == "ready"
    assert "http_request_duration_seconds" in of(str, metrics.sync(client=ANONYMOUS))
