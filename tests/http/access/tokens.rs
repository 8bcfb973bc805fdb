//! What makes a token good.

use jsonwebtoken::{Algorithm, EncodingKey, Header};
use reqwest::Method;
use serde_json::{Value, json};

use crate::{
    answers::{Expect, problem},
    app::{Backend, TestApp},
};

crate::both_backends!(
    a_call_without_a_token_is_challenged,
    a_token_with_another_scope_is_refused,
    a_token_that_is_not_ours_is_refused,
    a_token_has_its_time,
    a_token_says_who_and_what_and_until_when,
    issuer_and_audience_are_checked_where_configured,
    a_bad_token_is_refused_even_where_none_is_needed,
    a_refusal_names_the_header_or_the_claim_at_fault,
    scopes_stand_in_scope_or_scp_as_a_text_or_a_list,
    an_extension_that_is_not_known_is_refused,
    credentials_of_another_scheme_count_as_none,
    only_streams_take_a_token_from_the_query,
    a_stream_of_what_is_public_takes_a_bad_token_for_none,
);

fn now() -> i64 {
    chrono::Utc::now().timestamp()
}

/// Claims that are good for an hour.
fn claims() -> Value {
    json!({"sub": "game-1", "scope": "scores:write", "exp": now() + 3600})
}

/// A token with these claims, signed by this secret.
fn signed(algorithm: Algorithm, claims: &Value, secret: &[u8]) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(secret)).unwrap()
}

fn ours(app: &TestApp, claims: &Value) -> String {
    signed(Algorithm::HS256, claims, app.settings.tokens.jwt_secret.as_ref().unwrap().as_bytes())
}

/// The status of submitting a score with this token.
async fn status(app: &TestApp, token: &str) -> u16 {
    let request = app.anonymous(Method::POST, "/api/scores").bearer_auth(token);
    request.json(&json!({"actionId": "goal", "userId": "ann"})).send().await.unwrap().status().as_u16()
}

async fn a_call_without_a_token_is_challenged(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let body = json!({"actionId": "goal", "userId": "ann"});
    for authorization in
        [None, Some("Bearer"), Some("Bearer "), Some("Basic Z2FtZTpzZWNyZXQ="), Some("Bearer a.b.c"), Some("token")]
    {
        let mut request = app.anonymous(Method::POST, "/api/scores").json(&body);
        if let Some(value) = authorization {
            request = request.header("Authorization", value);
        }
        let response = request.responds(401).await;
        let challenge = response.headers()["www-authenticate"].to_str().unwrap();
        assert!(challenge.starts_with("Bearer"), "{authorization:?}: {challenge}");
        problem(response).await;
    }
    let lower_case = app.anonymous(Method::POST, "/api/scores").json(&body);
    lower_case.header("Authorization", format!("bearer {}", app.token("game-1", "scores:write"))).answers(200).await;
}

async fn a_token_with_another_scope_is_refused(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for scope in ["", "leaderboards:read leaderboards:admin", "scores", "scores:writer", "SCORES:WRITE", "scores:write,x", "*"] {
        let mut claims = claims();
        claims["scope"] = json!(scope);
        assert_eq!(status(&app, &ours(&app, &claims)).await, 403, "{scope}");
    }
    for scope in ["scores:write", "leaderboards:read scores:write unknown:scope"] {
        let mut claims = claims();
        claims["scope"] = json!(scope);
        assert_eq!(status(&app, &ours(&app, &claims)).await, 200, "{scope}");
    }
}

async fn a_token_that_is_not_ours_is_refused(backend: Backend) {
    use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
    let app = TestApp::spawn(backend).await;
    let secret = app.settings.tokens.jwt_secret.clone().unwrap();
    let good = ours(&app, &claims());
    assert_eq!(status(&app, &good).await, 200);

    assert_eq!(status(&app, &signed(Algorithm::HS256, &claims(), &[b'x'; 36])).await, 401, "another secret");
    assert_eq!(status(&app, &signed(Algorithm::HS384, &claims(), secret.as_bytes())).await, 401, "another algorithm");
    let unsigned = |header: &str| format!("{}.{}.", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(claims().to_string()));
    for header in [r#"{"alg":"none"}"#, r#"{"alg":"None","typ":"JWT"}"#, r#"{"alg":"NONE"}"#, r#"{"alg":""}"#, r#"{}"#] {
        assert_eq!(status(&app, &unsigned(header)).await, 401, "{header}");
        let (_, signature) = good.rsplit_once('.').unwrap();
        assert_eq!(status(&app, &format!("{}{signature}", unsigned(header))).await, 401, "{header} with a signature");
    }
    let (head, signature) = good.rsplit_once('.').unwrap();
    let (header, _) = head.split_once('.').unwrap();
    let mut admin = claims();
    admin["scope"] = json!("scores:write leaderboards:admin");
    let forged = format!("{header}.{}.{signature}", URL_SAFE_NO_PAD.encode(admin.to_string()));
    assert_eq!(status(&app, &forged).await, 401, "other claims under a good signature");
    assert_eq!(status(&app, head).await, 401, "no signature");
}

async fn a_token_has_its_time(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (claim, value, expected) in [
        ("exp", json!(now() - 60), 401),
        ("exp", json!(0), 401),
        ("exp", json!(-1), 401),
        ("exp", json!("tomorrow"), 401),
        ("exp", json!(now() + 60), 200),
        ("nbf", json!(now() + 60), 401),
        ("nbf", json!(now() - 60), 200),
        ("iat", json!(now()), 200),
    ] {
        let mut claims = claims();
        claims[claim] = value.clone();
        assert_eq!(status(&app, &ours(&app, &claims)).await, expected, "{claim} {value}");
    }
}

async fn a_token_says_who_and_what_and_until_when(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for claim in ["sub", "scope", "exp"] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove(claim);
        assert_eq!(status(&app, &ours(&app, &claims)).await, 401, "without {claim}");
    }
    for (claim, value) in
        [("sub", json!("")), ("sub", json!(17)), ("sub", Value::Null), ("scope", json!(7)), ("scope", json!([7]))]
    {
        let mut claims = claims();
        claims[claim] = value.clone();
        assert_eq!(status(&app, &ours(&app, &claims)).await, 401, "{claim} {value}");
    }
}

async fn issuer_and_audience_are_checked_where_configured(backend: Backend) {
    let app = TestApp::spawn_with(backend, &["--jwt-issuer=https://issuer.example", "--jwt-audience=scoreboard"]).await;
    let with = |iss: Value, aud: Value| {
        let mut claims = claims();
        for (claim, value) in [("iss", iss), ("aud", aud)] {
            if !value.is_null() {
                claims[claim] = value;
            }
        }
        ours(&app, &claims)
    };
    let (issuer, audience) = (json!("https://issuer.example"), json!("scoreboard"));
    assert_eq!(status(&app, &with(issuer.clone(), audience.clone())).await, 200);
    assert_eq!(status(&app, &with(issuer.clone(), json!(["other", "scoreboard"]))).await, 200);
    for (iss, aud) in [
        (json!("https://evil.example"), audience.clone()),
        (issuer.clone(), json!("other")),
        (issuer.clone(), json!(["other"])),
        (Value::Null, audience),
        (issuer, Value::Null),
    ] {
        assert_eq!(status(&app, &with(iss.clone(), aud.clone())).await, 401, "{iss} {aud}");
    }
}

async fn a_bad_token_is_refused_even_where_none_is_needed(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let mut expired = claims();
    expired["exp"] = json!(now() - 60);
    let expired = ours(&app, &expired);
    for path in ["/api/leaderboard", "/api/actions"] {
        app.anonymous(Method::GET, path).bearer_auth(&expired).refused(401).await;
    }
    app.anonymous(Method::GET, "/livez").bearer_auth(&expired).answers(200).await;
}

async fn a_refusal_names_the_header_or_the_claim_at_fault(backend: Backend) {
    let app = TestApp::spawn_with(backend, &["--jwt-issuer=https://issuer.example", "--jwt-audience=scoreboard"]).await;
    let good = || {
        let mut claims = claims();
        claims["iss"] = json!("https://issuer.example");
        claims["aud"] = json!("scoreboard");
        claims
    };
    let detail = async |token: String| {
        let request = app.anonymous(Method::POST, "/api/scores").bearer_auth(token);
        let problem = request.json(&json!({"actionId": "goal", "userId": "ann"})).refused(401).await;
        problem["detail"].as_str().unwrap().to_owned()
    };
    for (claim, value, named) in [
        ("sub", Value::Null, "sub"),
        ("sub", json!(7), "sub"),
        ("sub", json!(""), "sub"),
        ("exp", Value::Null, "exp"),
        ("exp", json!("tomorrow"), "exp"),
        ("exp", json!(now() - 60), "exp"),
        ("nbf", json!(now() + 60), "nbf"),
        ("nbf", json!("x"), "nbf"),
        ("iss", Value::Null, "iss"),
        ("iss", json!("https://evil.example"), "iss"),
        ("aud", Value::Null, "aud"),
        ("aud", json!(["other"]), "aud"),
        ("scope", Value::Null, "scope"),
        ("scope", json!(7), "scope"),
        ("scp", json!({}), "scp"),
    ] {
        let mut claims = good();
        claims[claim] = value.clone();
        let detail = detail(ours(&app, &claims)).await;
        assert!(detail.split(|c: char| !c.is_alphanumeric()).any(|word| word == named), "{claim} {value}: {detail}");
    }
    let secret = app.settings.tokens.jwt_secret.clone().unwrap();
    let other_algorithm = detail(signed(Algorithm::HS384, &good(), secret.as_bytes())).await;
    assert!(other_algorithm.contains("alg") && other_algorithm.contains("HS256"), "{other_algorithm}");
    let other_key = detail(signed(Algorithm::HS256, &good(), &[b'x'; 36])).await;
    assert!(other_key.contains("signature"), "{other_key}");
    let no_token = detail("nonsense".to_owned()).await;
    assert!(no_token.contains("Authorization"), "{no_token}");
}

async fn scopes_stand_in_scope_or_scp_as_a_text_or_a_list(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    for (claim, value, expected) in [
        ("scp", json!("leaderboards:read scores:write"), 200),
        ("scp", json!(["leaderboards:read", "scores:write"]), 200),
        ("scope", json!(["scores:write"]), 200),
        ("scp", json!([]), 403),
        ("scp", json!("leaderboards:read"), 403),
        ("roles", json!(["scores:write"]), 401),
    ] {
        let mut claims = claims();
        claims.as_object_mut().unwrap().remove("scope");
        claims[claim] = value.clone();
        assert_eq!(status(&app, &ours(&app, &claims)).await, expected, "{claim} {value}");
    }
}

async fn an_extension_that_is_not_known_is_refused(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    let secret = app.settings.tokens.jwt_secret.clone().unwrap();
    let with = |crit: Option<Vec<String>>| {
        let header = Header { crit, ..Header::new(Algorithm::HS256) };
        jsonwebtoken::encode(&header, &claims(), &EncodingKey::from_secret(secret.as_bytes())).unwrap()
    };
    assert_eq!(status(&app, &with(None)).await, 200);
    for crit in [vec!["http://example.com/unknown"], vec!["b64"], vec!["exp"], vec!["alg"], vec![]] {
        let token = with(Some(crit.iter().map(|&name| name.to_owned()).collect()));
        let request = app.anonymous(Method::POST, "/api/scores").bearer_auth(token);
        let problem = request.json(&json!({"actionId": "goal", "userId": "ann"})).refused(401).await;
        assert!(problem["detail"].as_str().unwrap().contains("crit"), "{crit:?}: {problem}");
    }
}

async fn credentials_of_another_scheme_count_as_none(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("secret", json!({"visibility": "private"})).await;
    let reader = app.token("reader", "leaderboards:read");
    for other in ["Basic Z2FtZTpzZWNyZXQ=", "Digest username=\"x\"", "Negotiate", "token"] {
        let with = |path: &str| app.anonymous(Method::GET, path).header("Authorization", other);
        with("/api/leaderboard").answers(200).await;
        with("/api/leaderboard/stream?view=top").responds(200).await;
        with("/api/leaderboards/secret").refused(401).await;
        with("/api/leaderboards/secret/stream").refused(401).await;
        with(&format!("/api/leaderboards/secret/stream?access_token={reader}")).responds(200).await;
        with("/api/leaderboards/secret").bearer_auth(&reader).answers(200).await;
    }
}

async fn a_stream_of_what_is_public_takes_a_bad_token_for_none(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("secret", json!({"visibility": "private"})).await;
    let mut expired = claims();
    expired["exp"] = json!(now() - 60);
    let expired = ours(&app, &expired);
    for token in [expired.as_str(), "nonsense"] {
        for path in ["/api/leaderboard/stream?view=top", "/api/leaderboards/main/stream", "/api/stream?leaderboards=main"] {
            app.anonymous(Method::GET, path).bearer_auth(token).responds(200).await;
            let join = if path.contains('?') { '&' } else { '?' };
            app.anonymous(Method::GET, &format!("{path}{join}access_token={token}")).responds(200).await;
        }
        for path in ["/api/leaderboards/secret/stream", "/api/stream?leaderboards=main,secret"] {
            let problem = app.anonymous(Method::GET, path).bearer_auth(token).refused(401).await;
            assert_eq!(problem["type"], "urn:scoreboard:problem:invalid-token", "{problem}");
        }
    }
}

async fn only_streams_take_a_token_from_the_query(backend: Backend) {
    let app = TestApp::spawn(backend).await;
    app.make_leaderboard("secret", json!({"visibility": "private"})).await;
    let reader = app.token("reader", "leaderboards:read");
    for path in ["/api/leaderboards/secret/stream?view=top", "/api/stream?leaderboards=main,secret"] {
        let path = format!("{path}&access_token={reader}");
        assert_eq!(app.anonymous(Method::GET, &path).responds(200).await.headers()["content-type"], "text/event-stream");
    }
    for path in ["/api/leaderboards/secret", "/api/leaderboards/secret/entries", "/api/leaderboards/secret/entries/ann"] {
        app.anonymous(Method::GET, &format!("{path}?access_token={reader}")).refused(401).await;
    }
    let writer = app.token("game-1", "scores:write");
    let request = app.anonymous(Method::POST, &format!("/api/scores?access_token={writer}"));
    request.json(&json!({"actionId": "goal", "userId": "ann"})).refused(401).await;
    // A leaderboard may be called like the last part of a stream's path.
    app.make_leaderboard("stream", json!({"visibility": "private"})).await;
    let admin = app.token("admin", "leaderboards:admin leaderboards:read");
    for method in [Method::GET, Method::PATCH, Method::DELETE] {
        let request = app.anonymous(method, &format!("/api/leaderboards/stream?access_token={admin}"));
        request.json(&json!({})).refused(401).await;
    }
    app.anonymous(Method::GET, &format!("/api/users/stream?access_token={admin}")).refused(401).await;
    app.admin(Method::GET, "/api/leaderboards/stream").answers(200).await;
}
