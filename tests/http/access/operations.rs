//! Every operation of the contract, who may call it, and what everybody else is told.

use std::collections::BTreeMap;

use reqwest::{Method, RequestBuilder};
use serde_json::{Value, json};

use crate::{
    answers::problem,
    app::{Backend, TestApp},
};

use Access::{Anybody, Needs, PrivateNeeds, Proving};

const SCOPES: [&str; 11] = [
    "scores:write",
    "scores:self",
    "leaderboards:read",
    "leaderboards:admin",
    "audit:read",
    "leaderboards:restricted",
    "moderation:write",
    "users:read",
    "users:write",
    "accounts:admin",
    "keys:admin",
];

/// Who may call an operation.
#[derive(Debug, Clone, Copy)]
enum Access {
    Anybody,
    /// Anybody where the leaderboard is public, else tokens with one of these scopes; the request asks for a private one.
    PrivateNeeds(&'static [&'static str]),
    /// Whoever proves in the body who they are; the request does not.
    Proving,
    /// Tokens with one of these scopes. None: only the tokens of sessions.
    Needs(&'static [&'static str]),
}

struct Case {
    operation: &'static str,
    access: Access,
    path: &'static str,
    body: Option<Value>,
}

fn case(operation: &'static str, access: Access, path: &'static str) -> Case {
    Case { operation, access, path, body: None }
}

fn with_body(operation: &'static str, access: Access, path: &'static str, body: Value) -> Case {
    Case { operation, access, path, body: Some(body) }
}

/// The table. The default leaderboard, `main`, and the leaderboard `secret` are private; `open` is not. Bodies and ids are such that whoever is let in
/// changes nothing: what is being asked is only who that is.
fn cases() -> Vec<Case> {
    const ADMIN: Access = Needs(&["leaderboards:admin"]);
    const PROFILE: Access = Needs(&["users:write", "leaderboards:admin", "scores:self"]);
    const KEYS: Access = Needs(&["keys:admin"]);
    const MODERATE: Access = Needs(&["moderation:write"]);
    const WRITE: Access = Needs(&["scores:write", "scores:self"]);
    const READ: Access = PrivateNeeds(&["leaderboards:read"]);
    const SEE: Access = PrivateNeeds(&["leaderboards:read", "leaderboards:admin"]);
    const ACCOUNTS: Access = Needs(&["accounts:admin"]);
    const SESSION: Access = Needs(&[]);
    const ENTRIES: &str = "/api/leaderboards/secret/entries";
    let nothing = || json!({"nothing": true});
    vec![
        with_body("submitScore", WRITE, "/api/scores", json!({"actionId": "nothing", "userId": "ann"})),
        with_body("submitScores", WRITE, "/api/scores/batch", json!({"submissions": []})),
        // Lists leave out what is private instead of refusing; `visibility.rs` sees to it.
        case("listLeaderboards", Anybody, "/api/leaderboards"),
        with_body("createLeaderboard", ADMIN, "/api/leaderboards", nothing()),
        case("getLeaderboard", SEE, "/api/leaderboards/secret"),
        with_body("updateLeaderboard", ADMIN, "/api/leaderboards/secret", nothing()),
        case("deleteLeaderboard", ADMIN, "/api/leaderboards/nothing"),
        case("listEntries", READ, ENTRIES),
        case("getEntry", READ, "/api/leaderboards/secret/entries/ann"),
        case("getEntryOfUserQuery", READ, "/api/leaderboards/secret/entries/query"),
        case("deleteEntry", ADMIN, "/api/leaderboards/secret/entries/nobody"),
        case("deleteEntryOfUserQuery", ADMIN, "/api/leaderboards/secret/entries/query"),
        with_body("queryEntries", READ, "/api/leaderboards/secret/entries/query", json!({"userIds": ["ann"]})),
        case("searchEntries", READ, "/api/leaderboards/secret/search?name=a"),
        case("listLeaderboardScores", READ, "/api/leaderboards/secret/scores"),
        case("listSeasons", READ, "/api/leaderboards/secret/seasons"),
        with_body("endSeason", ADMIN, "/api/leaderboards/secret/seasons", nothing()),
        case("getSeason", READ, "/api/leaderboards/secret/seasons/1"),
        with_body("renameSeason", ADMIN, "/api/leaderboards/secret/seasons/1", nothing()),
        case("listAuditEntries", Needs(&["audit:read"]), "/api/audit"),
        case("listApiKeys", KEYS, "/api/keys"),
        with_body("createApiKey", KEYS, "/api/keys", nothing()),
        case("getApiKey", KEYS, "/api/keys/nothing"),
        with_body("updateApiKey", KEYS, "/api/keys/nothing", nothing()),
        case("deleteApiKey", KEYS, "/api/keys/nothing"),
        with_body("rotateApiKey", KEYS, "/api/keys/nothing/rotate", nothing()),
        with_body("makeDecisions", MODERATE, "/api/moderation/decisions", nothing()),
        case("listDecisions", MODERATE, "/api/moderation/decisions"),
        with_body("judgeReviews", MODERATE, "/api/moderation/reviews", nothing()),
        case("listReviews", MODERATE, "/api/moderation/reviews"),
        with_body("beginRun", Needs(&["scores:self"]), "/api/runs", json!({"actionId": "nothing"})),
        case("takeDecisionBack", MODERATE, "/api/moderation/decisions/nothing"),
        with_body("previewSchedule", Anybody, "/api/schedules/preview", json!({"resetSchedule": {"cron": "0 0 * * MON"}})),
        case("streamLeaderboard", READ, "/api/leaderboards/secret/stream"),
        case("listDefaultEntries", READ, "/api/leaderboard"),
        case("streamDefaultLeaderboard", READ, "/api/leaderboard/stream"),
        case("streamLeaderboards", READ, "/api/stream?leaderboards=secret"),
        case("listActions", Anybody, "/api/actions"),
        with_body("createAction", ADMIN, "/api/actions", nothing()),
        case("getAction", Anybody, "/api/actions/open"),
        with_body("updateAction", ADMIN, "/api/actions/goal", nothing()),
        case("deleteAction", ADMIN, "/api/actions/nothing"),
        case(
            "getUser",
            Needs(&["leaderboards:read", "leaderboards:admin", "users:read", "users:write", "scores:self"]),
            "/api/users/ann",
        ),
        with_body("replaceUser", PROFILE, "/api/users/ann", nothing()),
        with_body("updateUser", PROFILE, "/api/users/ann", nothing()),
        case("listUserScores", READ, "/api/users/ann/scores?leaderboardId=secret"),
        with_body("signUp", Proving, "/api/auth/sign-up", nothing()),
        with_body("signIn", Proving, "/api/auth/sign-in", nothing()),
        with_body("signInByProvider", Proving, "/api/auth/oidc", nothing()),
        with_body("playAsGuest", Proving, "/api/auth/guest", nothing()),
        with_body("linkLogin", SESSION, "/api/auth/link", json!({"login": "ann", "password": "short"})),
        with_body("refreshSession", Proving, "/api/auth/refresh", nothing()),
        with_body("signOut", Proving, "/api/auth/sign-out", nothing()),
        case("listSessions", SESSION, "/api/auth/sessions"),
        case("endSession", SESSION, "/api/auth/sessions/nothing"),
        with_body("changePassword", SESSION, "/api/auth/password", json!({"current": "x", "new": "y"})),
        with_body("forgotPassword", Proving, "/api/auth/password/forgot", nothing()),
        with_body("resetPassword", Proving, "/api/auth/password/reset", nothing()),
        case("listAccounts", ACCOUNTS, "/api/accounts"),
        with_body("inviteAccount", ACCOUNTS, "/api/accounts/invites", nothing()),
        case("getAccount", ACCOUNTS, "/api/accounts/nobody"),
        with_body("updateAccount", ACCOUNTS, "/api/accounts/nobody", nothing()),
        case("deleteAccount", ACCOUNTS, "/api/accounts/nobody"),
        case("linkToReset", ACCOUNTS, "/api/accounts/nobody/reset-link"),
        case("live", Anybody, "/livez"),
        case("ready", Anybody, "/readyz"),
        case("metrics", Anybody, "/metrics"),
        case("openapi", Anybody, "/openapi.yaml"),
        case("page", Anybody, "/"),
    ]
}

crate::both_backends!(every_operation_lets_in_whom_it_should_and_nobody_else);

async fn every_operation_lets_in_whom_it_should_and_nobody_else(backend: Backend) {
    let app = TestApp::spawn_with(backend, &["--accounts=open"]).await;
    app.make_leaderboard("secret", json!({"visibility": "private"})).await;
    app.make_leaderboard("open", json!({})).await;
    app.submit(json!({"actionId": "secret", "userId": "ann", "value": 5})).await;
    let private = app.admin(Method::PATCH, "/api/leaderboards/main").json(&json!({"visibility": "private"}));
    private.send().await.unwrap().error_for_status().unwrap();

    let operations = operations();
    for case in cases() {
        let method = &operations[case.operation].method;
        let ask = |scope: Option<&str>| {
            let request = app.anonymous(method.clone(), case.path);
            let request = case.body.iter().fold(request, RequestBuilder::json);
            // Whoever may only submit their own scores is `ann` here.
            scope.iter().fold(request, |request, scope| request.bearer_auth(app.token("ann", scope)))
        };
        let allowed = match case.access {
            Anybody | Proving => &SCOPES[..],
            PrivateNeeds(scopes) | Needs(scopes) => scopes,
        };
        let anonymous = ask(None).send().await.unwrap();
        match case.access {
            Anybody => assert_eq!(anonymous.status(), 200, "{} without a token", case.operation),
            Proving => assert_eq!(anonymous.status(), 422, "{} without a token", case.operation),
            _ => {
                assert_eq!(anonymous.status(), 401, "{} without a token", case.operation);
                assert!(anonymous.headers().contains_key("www-authenticate"), "{}", case.operation);
                problem(anonymous).await;
            }
        }
        for scope in SCOPES {
            let answer = ask(Some(scope)).send().await.unwrap();
            let let_in = answer.status() != 401 && answer.status() != 403;
            assert_eq!(let_in, allowed.contains(&scope), "{} with {scope}: {}", case.operation, answer.status());
            if !let_in {
                assert_eq!(answer.status(), 403, "{} with {scope}", case.operation);
                problem(answer).await;
            }
        }
    }
}

#[test]
fn every_operation_of_the_contract_has_its_access_case_and_says_the_same() {
    let operations = operations();
    let cases = cases();
    let mut named: Vec<_> = cases.iter().map(|case| case.operation).collect();
    named.sort_unstable();
    assert_eq!(named, operations.keys().map(String::as_str).collect::<Vec<_>>(), "a case for each operation, once");
    for case in &cases {
        let Operation { security, description, .. } = &operations[case.operation];
        let open = security.is_empty() || security.contains(&Vec::new());
        let said = |scope: &&str| security.iter().flatten().any(|said| said == scope);
        let (private_alone, scopes) = match case.access {
            // Private leaderboards stand in lists and actions for those with the scope.
            Anybody | Proving => {
                assert!(open, "{}", case.operation);
                continue;
            }
            PrivateNeeds(scopes) => (true, scopes),
            Needs(scopes) => (false, scopes),
        };
        assert_eq!(open, private_alone, "{}", case.operation);
        // An operation that anybody may call names no scheme of its own, for the sake of generators: its description does.
        let told = |scope: &&str| said(scope) || (open && description.contains(&format!("`{scope}`")));
        for scope in SCOPES {
            let needed = scopes.contains(&scope);
            assert!(if needed { told(&scope) } else { !said(&scope) }, "{}: {scope}", case.operation);
        }
    }
}

/// What `openapi.yaml` says of an operation.
struct Operation {
    method: Method,
    /// The scopes of each alternative.
    security: Vec<Vec<String>>,
    description: String,
}

/// The operations of `openapi.yaml` by their ids.
fn operations() -> BTreeMap<String, Operation> {
    let document: serde_yaml_ng::Value = serde_yaml_ng::from_str(include_str!("../../../openapi.yaml")).unwrap();
    let document: Value = serde_json::to_value(document).unwrap();
    let mut operations = BTreeMap::new();
    for item in document["paths"].as_object().unwrap().values() {
        for (method, operation) in item.as_object().unwrap().iter().filter(|(key, _)| *key != "parameters") {
            let id = operation["operationId"].as_str().expect("every operation has an id").to_owned();
            // What an operation does not say is said for the whole document. Any one of the scopes will do.
            let of = if operation["security"].is_array() { operation } else { &document };
            let scopes: Vec<String> = serde_json::from_value(of["x-any-of-scopes"].clone()).unwrap_or_default();
            let alternatives = of["security"].as_array().expect("security is told").iter().flat_map(|alternative| {
                match (alternative.as_object().unwrap().is_empty(), scopes.is_empty()) {
                    (true, _) => vec![Vec::new()],
                    // A credential without any scope is not the same as none.
                    (false, true) => vec![vec!["a session".to_owned()]],
                    (false, false) => scopes.iter().map(|scope| vec![scope.clone()]).collect(),
                }
            });
            let method = Method::from_bytes(method.to_uppercase().as_bytes()).unwrap();
            let description = operation["description"].as_str().unwrap_or_default().to_owned();
            let said = Operation { method, security: alternatives.collect(), description };
            assert!(operations.insert(id.clone(), said).is_none(), "{id} is named twice");
        }
    }
    operations
}
